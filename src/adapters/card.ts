/** The README.md beside a saved adapter, with the front matter that PEFT and the hub know. It names no folder of a machine. */
import { markdownTable, markdownText } from '../results/markdown.ts';
import type { LoraConfig } from './config.ts';

/** What a run knows of an adapter. Losses are in nats a token; NaN where there is none. */
export type TrainingFacts = {
  /** Rows by the name of their file. */
  readonly datasets: readonly { readonly name: string; readonly use: 'training' | 'evaluation' }[];
  readonly trainRows: number;
  readonly evalRows: number;
  /** Under the names of TrainingArguments. */
  readonly settings: readonly (readonly [name: string, value: string])[];
  /** One for every evaluation; without any, one for all steps. `loss` is the mean over the steps since the one before. */
  readonly results: readonly {
    readonly step: number;
    readonly epoch: number;
    readonly loss: number;
    readonly evalLoss: number | null;
  }[];
  /** Prompts that the run wrote on after, by the base and by these weights; null for a text that there is not. */
  readonly samples: readonly {
    readonly prompt: string;
    readonly before: string | null;
    readonly after: string | null;
  }[];
  /** Step whose weights these are. */
  readonly step: number;
  readonly versions: readonly (readonly [name: string, version: string])[];
};

/** Formats the README.md. @param config as saved: target_modules is a list @param facts null where no run is known */
export function modelCard(config: LoraConfig, facts: TrainingFacts | null = null): string {
  const { base_model_name_or_path: given } = config;
  const id = given === null ? null : hubId(given);
  const base = given === null ? 'not recorded' : (id ?? `${lastPart(given)} (a local folder)`);
  const sections = [
    '# LoRA adapter',
    `Base model: ${id === null ? base : `[${id}](https://huggingface.co/${id})`}`,
    recipe(config),
    ...(facts === null ? [] : training(facts)),
    usage(id ?? 'path/to/the/base'),
  ];
  return `${frontMatter(id)}\n${sections.join('\n\n')}\n`;
}

function frontMatter(id: string | null): string {
  const lines = [
    'library_name: peft',
    ...(id === null ? [] : [`base_model: ${id}`]),
    'license: unknown',
    'pipeline_tag: text-generation',
    'tags:',
    ...(id === null ? [] : [`  - base_model:adapter:${id}`]),
    ...['lora', 'nibble', 'transformers'].map((tag) => `  - ${tag}`),
  ];
  return `---\n${lines.join('\n')}\n---\n`;
}

/** A snapshot in the hub's cache: models--ORG--NAME/snapshots/COMMIT. */
const SNAPSHOT = /[/\\]models--([^/\\]+)[/\\]snapshots[/\\][^/\\]+[/\\]?$/;
const HUB_ID = /^[\w-][\w.-]*\/[\w-][\w.-]*$/;

/** The name on the hub of what was given; null for a folder, of which nothing says whether the hub has it. */
function hubId(given: string): string | null {
  const cached = SNAPSHOT.exec(given)?.[1]?.replace('--', '/');
  return cached ?? (HUB_ID.test(given) ? given : null);
}

/** Last part of a path, which tells nothing of where it lies. */
export function lastPart(path: string): string {
  return path.split(/[/\\]/).findLast((part) => part !== '') ?? path;
}

function recipe(config: LoraConfig): string {
  const targets = (config.target_modules as readonly string[]).join(', ');
  const { r, lora_alpha, use_rslora, use_dora, lora_dropout, bias, modules_to_save } = config;
  const parts = [
    `Rank ${r}, alpha ${lora_alpha}${use_rslora ? ' (rank-stabilised)' : ''}, dropout ${lora_dropout}, on ${targets}`,
    ...(use_dora ? ['with DoRA'] : []),
    ...(bias === 'none' ? [] : [`biases trained: ${bias}`]),
    ...(modules_to_save === null ? [] : [`trained whole: ${modules_to_save.join(', ')}`]),
  ];
  return `${parts.join('; ')}.`;
}

function training(facts: TrainingFacts): string[] {
  const { datasets, trainRows, evalRows, settings, results, step, versions } = facts;
  const named = (use: 'training' | 'evaluation'): string =>
    datasets.flatMap((set) => (set.use === use ? [`\`${set.name}\``] : [])).join(', ');
  const rows = (count: number): string => `${count.toLocaleString('en-US')} row${count === 1 ? '' : 's'}`;
  const held = named('evaluation') === '' ? '' : ` of ${named('evaluation')}`;
  const data = [
    `- Trained on ${rows(trainRows)} of ${named('training')}`,
    ...(evalRows === 0 ? [] : [`- Evaluated on ${rows(evalRows)}${held}`]),
  ];
  return [
    '## Data',
    data.join('\n'),
    '## Training',
    table(['setting', 'value'], settings),
    `These are the weights after step ${step}. Losses are in nats a token; the training loss is the mean over the steps since the row before.`,
    table(
      ['training loss', 'epoch', 'step', 'evaluation loss', 'perplexity'],
      results.map((row) => [
        decimals(row.loss),
        row.epoch.toFixed(2),
        String(row.step),
        row.evalLoss === null ? '' : decimals(row.evalLoss),
        row.evalLoss === null ? '' : Math.exp(row.evalLoss).toFixed(2),
      ]),
    ),
    ...samples(facts),
    '## Versions',
    versions.map(([name, version]) => `- ${name}: ${version}`).join('\n'),
  ];
}

function samples({ samples: all, step }: TrainingFacts): string[] {
  if (all.length === 0) return [];
  const text = (given: string | null): string => (given === null ? '' : markdownText(given));
  return [
    '## Samples',
    'What the model writes on after each prompt, the likeliest token every time.',
    markdownTable(
      ['prompt', 'before training', `after step ${step}`],
      all.map(({ prompt, before, after }) => [markdownText(prompt), text(before), text(after)]),
    ),
  ];
}

const decimals = (loss: number): string => (Number.isNaN(loss) ? 'no label' : loss.toFixed(4));

/** A table of plain cells, in which a bar stands for itself. */
const table = (head: readonly string[], rows: readonly (readonly string[])[]): string =>
  markdownTable(
    head,
    rows.map((cells) => cells.map((cell) => cell.replaceAll('|', '\\|'))),
  );

function usage(base: string): string {
  return `## Use

Trained with nibble. It loads with PEFT:

\`\`\`python
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

base = AutoModelForCausalLM.from_pretrained("${base}")
model = PeftModel.from_pretrained(base, "path/to/this/directory")
tokenizer = AutoTokenizer.from_pretrained("path/to/this/directory")
\`\`\``;
}
