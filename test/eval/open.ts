/** The golden tasks made ready for the tiny model. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { readSplits } from '../../src/eval/documents.ts';
import { encoderOf } from '../../src/eval/encode.ts';
import { prepareTask, type Task, type TaskOptions } from '../../src/eval/task.ts';
import { readTaskFile } from '../../src/eval/task-file.ts';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { readGenerationConfig } from '../../src/generate/generation-config.ts';
import { nodeReader } from '../../src/node/files.ts';

export const GOLDEN = fileURLToPath(new URL('../golden/eval/', import.meta.url));
export const TINY = fileURLToPath(new URL('../../bench/models/tiny/', import.meta.url));
export const TASKS = ['whale_choice', 'whale_letters', 'sea_passages', 'last_word', 'next_word'] as const;

type Metrics = Readonly<Record<string, number | string>>;
export type GoldenSample = Readonly<Record<string, unknown>> & {
  readonly doc_id: number;
  readonly filter: string;
  readonly resps: readonly (readonly unknown[])[];
  readonly filtered_resps: readonly unknown[];
  readonly metrics: readonly string[];
};
type Judged = {
  readonly results: Readonly<Record<string, Metrics>>;
  readonly samples: Readonly<Record<string, readonly GoldenSample[]>>;
  readonly configs: Readonly<Record<string, Readonly<Record<string, unknown>>>>;
  readonly higher_is_better: unknown;
  readonly versions: unknown;
} & Readonly<Record<string, unknown>>;
type Stride = {
  readonly max_length: number;
  readonly stride: number;
  readonly tokens: number;
  readonly nll: number;
  readonly perplexity: number;
  readonly windows: readonly {
    readonly begin: number;
    readonly end: number;
    readonly tokens: number;
    readonly loss: number;
  }[];
};

const json = (file: string): unknown => JSON.parse(readFileSync(path.join(GOLDEN, file), 'utf8'));

export const judged = json('lm-eval.json') as {
  readonly bootstrap_iters: number;
  readonly base: Judged;
  readonly adapter: Judged;
};
export const strides = json('strides.json') as {
  readonly base: readonly Stride[];
  readonly adapter: readonly Stride[];
};

const WHOLE: TaskOptions = { limit: null, numFewshot: null, fewshotSeed: 1234 };

export async function goldenTask(name: string, options: Partial<TaskOptions> = {}): Promise<Task> {
  const reader = nodeReader(GOLDEN);
  const file = await readTaskFile(reader, `tasks/${name}.yaml`);
  const splits = await readSplits(file.fields, reader, async (named) => named);
  return prepareTask(file, splits, { ...WHOLE, ...options });
}

export async function tinyEncoder() {
  const reader = nodeReader(TINY);
  const model = await readModelConfig(reader);
  const tokenizer = await loadTokenizer(reader);
  return {
    model,
    encoder: encoderOf(tokenizer, model.max_position_embeddings, TINY),
    defaults: await readGenerationConfig(reader),
  };
}
