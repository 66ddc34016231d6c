/** Texts that a run writes on after its prompts: before its first step, at evaluations, and with the weights that it ends with. */
import type { TrainConfig } from '../config/settings.ts';
import { readLines } from '../data/lines.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { FileReader } from '../formats/reader.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { Engine } from './engine.ts';
import type { Sample, SampledPrompt, TrainEvent } from './events.ts';

/** What is written on after, in tokens. */
export type SamplePlan = {
  readonly prompts: readonly { readonly text: string; readonly ids: readonly number[] }[];
  readonly maxNewTokens: number;
  /** Tokens of the longest prompt and what follows it: the length of the phase, whose later positions nothing sees. */
  readonly tokens: number;
};

type Opened = { readonly model: ModelConfig; readonly tokenizer: TextTokenizer | null };

/** Reads the prompts of `eval_generate`; null without that setting. @throws ConfigError, DataError */
export async function readSamplePlan(
  { eval_generate: asked, eval_generate_max_new_tokens: maxNewTokens, model_name_or_path }: TrainConfig,
  { model, tokenizer }: Opened,
  readerOf: (directory: string) => FileReader,
): Promise<SamplePlan | null> {
  if (asked === null) return null;
  const problem = (message: string): ConfigProblem => ({ path: 'eval_generate', message });
  if (tokenizer === null)
    throw new ConfigError([
      problem(`needs a tokenizer, and ${model_name_or_path} has no tokenizer.json; leave the setting out`),
    ]);
  const texts = typeof asked === 'string' ? await linesOf(readerOf('.'), asked) : asked;
  if (texts.length === 0)
    throw new ConfigError([problem(`${asked} has no line with a text; wanted a prompt on each line`)]);
  const context = model.max_position_embeddings;
  const prompts = texts.map((text) => ({ text, ids: tokenizer.encode(text) }));
  const problems = prompts.flatMap(({ ids }, i) => {
    if (ids.length === 0) return [problem(`prompt ${i + 1} has no token; leave it out`)];
    if (ids.length + maxNewTokens <= context) return [];
    return [
      problem(
        `prompt ${i + 1} has ${ids.length} tokens, and with eval_generate_max_new_tokens ${maxNewTokens} it is beyond the model's context of ${context}; shorten either`,
      ),
    ];
  });
  if (problems.length > 0) throw new ConfigError(problems);
  const longest = prompts.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  return { prompts, maxNewTokens, tokens: longest + maxNewTokens };
}

async function linesOf(reader: FileReader, file: string): Promise<string[]> {
  if (!(await reader.exists(file)))
    throw new ConfigError([
      {
        path: 'eval_generate',
        message: `there is no file ${file}; wanted a file with a prompt on each line, or a list of prompts`,
      },
    ]);
  if (/\.jsonl?$/.test(file))
    throw new ConfigError([
      { path: 'eval_generate', message: `${file} is JSON by its name; wanted a text file, a prompt on each line` },
    ]);
  const texts: string[] = [];
  for await (const { text } of readLines(reader, file)) if (text.trim() !== '') texts.push(text);
  return texts;
}

/**
 * Pairs the texts before training with those of a step's weights, prompt by prompt.
 * @returns a null for a text that there is not (yet)
 */
export function beforeAndAfter(samples: readonly Sample[], step: number): SampledPrompt[] {
  const at = (wanted: number): readonly Sample[] => samples.filter((sample) => sample.step === wanted);
  const [before, after] = [at(0), step === 0 ? [] : at(step)];
  return (before.length > 0 ? before : after).map(({ prompt }, i) => ({
    prompt,
    before: before[i]?.text ?? null,
    after: after[i]?.text ?? null,
  }));
}

/** Writes on after all prompts, with the weights as they are; no training state is touched. */
export async function* takeSamples(
  engine: Engine,
  { prompts, maxNewTokens }: SamplePlan,
  { model, tokenizer }: Opened,
  step: number,
): AsyncGenerator<TrainEvent, Sample[]> {
  yield { type: 'phase', phase: 'sample', total: prompts.length };
  const samples: Sample[] = [];
  for (const { text, ids } of prompts) {
    const found = await continuation(engine, ids, maxNewTokens, model.eos_token_id);
    const written = tokenizer?.decode(found, { skipSpecialTokens: true }) ?? '';
    samples.push({ step, prompt: text, text: written, token_ids: found });
    yield { type: 'progress', phase: 'sample', label: '' };
  }
  yield { type: 'sample', step, samples };
  return samples;
}

async function continuation(
  engine: Engine,
  prompt: readonly number[],
  most: number,
  ends: readonly number[],
): Promise<number[]> {
  const found: number[] = [];
  while (found.length < most) {
    const logits = await engine.nextLogits([...prompt, ...found]);
    // of equals the first
    let best = 0;
    for (let id = 1; id < logits.length; id++) if ((logits[id] as number) > (logits[best] as number)) best = id;
    found.push(best);
    if (ends.includes(best)) break;
  }
  return found;
}
