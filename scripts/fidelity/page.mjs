/** docs/fidelity.md from the records of results/fidelity: nothing on it is typed in. */
import { misses, ROWS } from './records.mjs';

/** @returns {string} the page */
export function renderPage(records) {
  const rows = ROWS.map((title, i) => ({ number: i + 1, title, records: records.filter((r) => r.row === i + 1) }));
  return `${[HEAD, summary(rows), ...rows.map(section)].join('\n\n')}\n`;
}

const HEAD = `# Fidelity

How close nibble is to bitsandbytes, transformers and PEFT. Every figure was measured by the command that stands with it;
this page is made from [results/fidelity](../results/fidelity) by \`npm run fidelity\`, which measures what needs no Python
and writes the page again. Do not edit it.

Relative differences are against the original's value. A 2-norm is relative to the original's own update. Where a bound is
given, the figure has to be at most that.`;

function summary(rows) {
  const lines = rows.map(({ number, title, records }) => `| ${number} | ${title} | ${standing(records)} |`);
  return ['| | what | where it stands |', '| --- | --- | --- |', ...lines].join('\n');
}

export function standing(records) {
  const bounded = records.flatMap(({ figures }) => figures.filter(({ bound }) => bound !== null));
  const missed = bounded.filter(misses).length;
  if (records.length === 0) return 'not measured';
  if (missed > 0) return `**${missed} of ${bounded.length} figures miss their bound**`;
  return bounded.length === 0 ? 'reported, nothing was promised' : `all ${bounded.length} figures within their bounds`;
}

/** What a reader has to know of a row to take its figures for what they are; the tests hold models and settings to it. */
const ABOUT = {
  2: `Models of two layers of width 64 with random weights ([test/golden](../test/golden/README.md)), 32 tokens. The reference
of a bnb-4bit checkpoint is transformers on the base that the format's definition dequantizes, not bitsandbytes' layers.

What each of them stands for, here and in row 3:

| model | form | published models |
| --- | --- | --- |
| llama | \`llama3\` rope scaling, untied head, grouped queries | Llama 3.1; Llama 3, which has no rope scaling |
| llama-tied | \`llama3\` rope scaling, tied head, grouped queries | Llama 3.2 (1B, 3B) |
| llama-biased | biases of attention and MLP, tied head, as many key heads as query heads | Llama's form with \`attention_bias\` or \`mlp_bias\`; SmolLM2 1.7B, which has no biases |
| mistral | a sliding window, untied head, grouped queries | Mistral 7B; TinyLlama and Llama 2 70B, which have no window |
| qwen2 | biases of q, k and v, a window in one layer | Qwen2, Qwen2.5, which leave their window unused |
| qwen3 | norms of q and k, tied head | Qwen3, dense |
| gemma | norms around 0, tanh GELU, scaled embeddings | Gemma (the first) |
| phi3 | fused projections, a sliding window | Phi-3 with default rope (4k contexts) |
| smollm3 | a layer without rope, biases, tied head | SmolLM3, which has no biases |
| olmo2 | norms after attention and MLP, norms of q and k | OLMo 2 |

Llama without any of these (Llama 2, TinyLlama: default rope, untied head, no window) is held to transformers' logits and to 20
steps of PEFT, LoRA and QLoRA, by \`test/model/logits.test.ts\` and \`test/train/peft-steps.test.ts\`, and has no row here.
SmolLM2's other sizes group their queries; row 5 has one of them.`,
  3: `The 50 steps: models of row 2, the same data and initial adapter on both sides (rank 4 on all linear layers, A and B with
standard deviation 0.1), learning rate 1e-3 linear, weight decay 0.1, clipping at 0.3 active at every step, no dropout. QLoRA
is from one bnb-4bit checkpoint, which PEFT trains on as the format's definition dequantizes it: bitsandbytes' backward on a
CPU is not reliable.`,
  6: `Pipelines, flags and classes are those of the families' published tokenizers, around small vocabularies trained on text of
ours. \`tokenizers\` opens tokenizer.json alone, transformers the whole directory; where transformers 5 gives a class parts of its
own (Llama 2, SmolLM2), the two differ from each other, and nibble follows transformers with a note.`,
};

function section({ number, title, records }) {
  const head = `## ${number}. ${title}${number in ABOUT ? `\n\n${ABOUT[number]}` : ''}`;
  if (records.length === 0) return `${head}\n\nNot measured.`;
  return [head, ...records.map(block)].join('\n\n');
}

export function block(record) {
  return [`### ${record.title}`, provenance(record), pivot(record.figures) ?? list(record.figures)].join('\n\n');
}

function provenance({ measured, command, environment }) {
  const parts = Object.entries(environment).map(([key, value]) => `${key} ${value}`);
  return `Measured ${measured} by \`${command}\`: ${parts.join('; ')}.`;
}

/** A row each. */
function list(figures) {
  const noted = figures.some(({ note }) => note !== undefined);
  const head = ['what', 'reached', 'bound', 'unit', '', ...(noted ? ['note'] : [])];
  const body = figures.map((figure) => {
    const { what, reached, bound, unit, note = '' } = figure;
    return [
      what,
      shown(reached),
      bound === null ? 'none' : `${figure.least ? 'at least ' : ''}${exact(bound)}`,
      unit,
      verdict(figure),
      ...(noted ? [note] : []),
    ];
  });
  return table(head, body);
}

/** Figures named "subject: figure" become a row a subject; null where they are not, or share too few columns for that. */
function pivot(figures) {
  const [subjects, columns] = [new Map(), new Map()];
  for (const figure of figures) {
    const at = figure.what.lastIndexOf(': ');
    if (at < 0 || figure.note !== undefined) return null;
    const [subject, name] = [figure.what.slice(0, at), figure.what.slice(at + 2)];
    const head = `${name}, ${figure.unit}${figure.bound === null ? '' : ` (${exact(figure.bound)})`}`;
    if ((columns.get(name) ?? head) !== head) return null;
    columns.set(name, head);
    subjects.set(subject, (subjects.get(subject) ?? new Map()).set(name, figure));
  }
  const cells = subjects.size * columns.size;
  if (subjects.size === 1 || columns.size === 1 || figures.length < FILLED * cells) return null;
  const body = [...subjects].map(([subject, row]) => [
    subject,
    ...[...columns.keys()].map((name) => cell(row.get(name))),
  ]);
  return `${table(['', ...columns.values()], body)}\n\nBounds are in brackets.`;
}

/** A table with fewer of its cells filled reads worse than a list. */
const FILLED = 0.8;

function cell(figure) {
  if (figure === undefined) return 'none';
  return misses(figure) ? `**${shown(figure.reached)} (misses)**` : shown(figure.reached);
}

function verdict(figure) {
  if (figure.bound === null) return 'reported';
  return misses(figure) ? '**misses**' : 'within';
}

export function table(head, body) {
  const line = (cells) => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n');
}

/** Two digits are enough of a difference; counts and large figures are given whole or to four digits. */
function shown(value) {
  if (value === null) return 'not a number';
  if (Number.isInteger(value)) return value.toLocaleString('en-US');
  if (Math.abs(value) < 0.1) return value.toExponential(1);
  return Number(value.toPrecision(4)).toString();
}

function exact(value) {
  return Number.isInteger(value) || Math.abs(value) >= 0.1 ? String(value) : value.toExponential();
}
