/** resume.json: what a run needs to go on beside its weights and moments. JSON alone, numbers in full precision. */
import { z } from 'zod';
import { DataError } from '../errors.ts';
import { type FileReader, type FileWriter, place, writeText } from '../formats/reader.ts';
import type { WrittenFiles } from './checkpoint-store.ts';
import type { Evaluation, StepEvent } from './events.ts';

export const RESUME_FILE = 'resume.json';
const FORMAT = 'nibble resume';
const VERSION = 1;

const count = z.int().min(0);
const number = z
  .number()
  .or(z.nan())
  .or(z.literal([Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]));

/** Fields of a step, each kept as a column: names once, not once a step. */
const steps = z.strictObject({
  step: z.array(count),
  epoch: z.array(number),
  loss: z.array(number),
  gradNorm: z.array(number),
  learningRate: z.array(number),
  finite: z.array(z.boolean()),
  lossScale: z.array(number.nullable()),
  flags: z.array(count),
  stepMs: z.array(number),
  tokens: z.array(count),
  paddedTokens: z.array(count),
  lossTokens: z.array(count),
  samples: z.array(count),
});
type Columns = z.infer<typeof steps>;
const COLUMNS = Object.keys(steps.shape) as (keyof Columns)[];

const evalResult = z.strictObject({
  evalLoss: number,
  perplexity: number,
  tokenLoss: number,
  stderr: number,
  lossTokens: count,
  rows: z.strictObject({ sums: z.array(number), tokens: z.array(count) }),
  samples: count,
  seconds: number,
});

const progress = z.strictObject({
  /** Optimizer steps done, and how many the run has. */
  step: count,
  totalSteps: count,
  /** Where the next step begins in the data: the epoch, and its micro-batches that are done. */
  position: z.strictObject({ epoch: count, batch: count }),
  /** Whether the evaluation that is due after the last step is done. */
  isEvaluated: z.boolean(),
  /** Whether the run ended there, before its last step. */
  isStoppedEarly: z.boolean(),
  steps,
  evaluations: z.array(z.strictObject({ step: count, epoch: number, result: evalResult })),
  /** Texts of eval_generate. */
  samples: z
    .array(z.strictObject({ step: count, prompt: z.string(), text: z.string(), token_ids: z.array(count) }))
    .default([]),
  /** Rows of log.jsonl. */
  log: z.array(z.record(z.string(), number)),
  /** Steps at the end of `steps` that no row of the log counts yet. */
  unlogged: count,
  best: z.strictObject({
    metric: number.nullable(),
    step: count.nullable(),
    checkpoint: z.string().nullable(),
    patience: count,
  }),
  /** State of the loss scale; null where gradients are not scaled. */
  lossScale: z.strictObject({ scale: number, tracker: count, updates: count }).nullable(),
  /** Seconds that this much of the run took. */
  seconds: z.strictObject({ train_s: number, eval_s: number, checkpoint_s: number }),
  checkpoints: z.array(z.strictObject({ step: count, seconds: number })),
  /** Steps from which the run has gone on before. */
  resumedAt: z.array(count),
});
export type Progress = z.infer<typeof progress>;

const file = z.object({
  format: z.literal(FORMAT),
  version: z.literal(VERSION),
  nibble_version: z.string(),
  /** Settings and hashes of what the run is made from (node/resume.ts compares them). */
  run: z.json(),
  /** The other files of the checkpoint. */
  files: z.record(z.string(), z.strictObject({ bytes: count, sha256: z.string() })),
  progress,
});
export type ResumeFile = z.infer<typeof file>;

/** JSON has no NaN and no infinity. */
const NAMED: ReadonlyMap<string, number> = new Map([
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['-Infinity', Number.NEGATIVE_INFINITY],
]);

/** Writes the file, the last one of a checkpoint. @throws DataError */
export async function writeResumeFile(
  writer: FileWriter,
  content: Pick<ResumeFile, 'nibble_version' | 'run' | 'progress'>,
  files: WrittenFiles,
): Promise<void> {
  const whole = { format: FORMAT, version: VERSION, ...content, files };
  const text = JSON.stringify(whole, (_key, value: unknown) =>
    typeof value === 'number' && !Number.isFinite(value) ? String(value) : value,
  );
  await writeText(writer, RESUME_FILE, `${text}\n`);
}

/** Reads and checks the file. @throws DataError where it is absent, or was written by something else */
export async function readResumeFile(reader: FileReader): Promise<ResumeFile> {
  const where = place(reader, RESUME_FILE);
  const text = await reader.readText(RESUME_FILE);
  const parsed = file.safeParse(parse(text, where));
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new DataError(
    where,
    `is not what nibble goes on from: ${issue?.path.join('.')}: ${issue?.message}. Give a checkpoint that this version wrote.`,
  );
}

function parse(text: string, where: string): unknown {
  try {
    return JSON.parse(text, (_key, value: unknown) =>
      typeof value === 'string' && NAMED.has(value) ? NAMED.get(value) : value,
    );
  } catch (cause) {
    throw new DataError(where, 'is not whole JSON. The checkpoint was not written to its end; give another one.', {
      cause,
    });
  }
}

/** Leaves the rows of those evaluations alone that the end of a run may still ask for: the first, the last and the best. */
export function evaluationsToKeep(evaluations: readonly Evaluation[], best: readonly (number | null)[]): Evaluation[] {
  return evaluations.map((evaluation, i) => {
    const { step, result } = evaluation;
    const isAsked = step === 0 || i === evaluations.length - 1 || best.includes(step);
    return isAsked ? evaluation : { ...evaluation, result: { ...result, rows: { sums: [], tokens: [] } } };
  });
}

export function columnsOf(events: readonly StepEvent[]): Columns {
  return Object.fromEntries(COLUMNS.map((key) => [key, events.map((event) => event[key])])) as Columns;
}

/** @param totalSteps of the run that goes on */
export function stepsOf(columns: Columns, totalSteps: number): StepEvent[] {
  return columns.step.map((_, i) => {
    const fields = Object.fromEntries(COLUMNS.map((key) => [key, columns[key][i]]));
    return { type: 'step', totalSteps, ...fields } as StepEvent;
  });
}
