/** Does the work of `nibble tune-kernels`: progress, the table of tiles tried, and the file that later runs read. */
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { ConfigError } from '../../errors.ts';
import { CONFIG_FILE, parseModelConfig } from '../../formats/hf-config.ts';
import { parseObject } from '../../formats/json.ts';
import type { Device } from '../../gpu/device.ts';
import { TILE_KINDS } from '../../gpu/tiles.ts';
import { allLinears } from '../../model/modules.ts';
import { closeDevice, openDevice } from '../../node/device.ts';
import { tuningDirectory, tuningKey, writeTuning } from '../../node/tuning.ts';
import { QUICK_TILES } from '../../tune/candidates.ts';
import { type Shape, type Tried, type TuneResult, tuneKernels } from '../../tune/tune.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { createProgress, type Progress, type ProgressTask } from '../shared/progress.ts';
import { readSource } from '../shared/read-config.ts';
import type { TuneKernelsArgs } from './command.ts';

/** Outputs N and inputs K of the linear layers of Llama-2-7B. */
const LLAMA_2_7B = [
  [4096, 4096],
  [11008, 4096],
  [4096, 11008],
] as const;

const MINUTE_MS = 60_000;

/** Known before the minutes of measuring. @throws ConfigError */
function requireTuningDirectory(env: CliContext['env']): string {
  const directory = tuningDirectory(env);
  if (directory !== null) return directory;
  const message = 'is not set, and this user has no home folder; give a folder where the tiles are kept, or --dry-run';
  throw new ConfigError([{ path: 'XDG_CACHE_HOME', message }]);
}

/**
 * Measures, prints the table and writes the tiles.
 * @throws DeviceError without a device; DataError for a config.json that cannot be read; the signal's reason, after
 * what was found so far is written
 */
export async function runTuneKernels(args: TuneKernelsArgs, context: CliContext): Promise<void> {
  const { stdout, stderr, env, signal } = context;
  const directory = args.dryRun ? null : requireTuningDirectory(env);
  const shapes = await shapesOf(args, context);
  const progress = createProgress(stderr, env);
  const choice = askedDevice({ env, stderr });
  let info: Device['info'] | null = null;
  const open = async (): Promise<Device> => {
    const device = await openDevice({ device: choice, unchecked: true });
    if (info === null && device.profile.software)
      progress.note(`no GPU: tuning ${device.profile.name}, a software driver, which auto never gives workgroup tiles`);
    info = device.info;
    return device;
  };
  try {
    const result = await watch(
      tuneKernels(open, closeDevice, {
        shapes,
        rounds: args.rounds,
        signal,
        ...(args.quick && { candidates: QUICK_TILES }),
        ...(args.minutes !== null && { budgetMs: args.minutes * MINUTE_MS }),
      }),
      progress,
    );
    const key = tuningKey(info as unknown as Device['info']);
    const left = untriedText(
      result,
      signal.aborted ? 'interrupted' : `the ${args.minutes} minutes of --minutes were over`,
    );
    const measured = new Date().toISOString();
    const file = directory && (await writeTuning(directory, { ...key, measured, tiles: result.tiles }));
    stdout.write(
      args.json
        ? `${JSON.stringify({ ...key, measured, file, shapes, ...result }, null, 2)}\n`
        : `${table(result)}\n${left}${file === null ? 'nothing was kept (--dry-run)' : `kept in ${file}: later runs take these tiles`}\n`,
    );
    signal.throwIfAborted();
  } finally {
    progress.stop();
  }
}

async function shapesOf({ models, tokens: M }: TuneKernelsArgs, context: CliContext): Promise<Shape[]> {
  if (models.length === 0) return LLAMA_2_7B.map(([N, K]) => ({ M, N, K }));
  const linears = (await Promise.all(models.map((model) => linearsOf(model, context)))).flat();
  const distinct = new Map(linears.map((l) => [`${l.out},${l.in}`, { M, N: l.out, K: l.in }]));
  return [...distinct.values()].sort((a, b) => b.N * b.K - a.N * a.K);
}

async function linearsOf(model: string, context: CliContext): Promise<ReturnType<typeof allLinears>> {
  const isDirectory = await stat(model).then(
    (found) => found.isDirectory(),
    () => false,
  );
  const source = await readSource(isDirectory ? path.join(model, CONFIG_FILE) : model, context);
  return allLinears(parseModelConfig(parseObject(source.text, source.path), source.path));
}

async function watch(tuning: ReturnType<typeof tuneKernels>, progress: Progress): Promise<TuneResult> {
  let next = await tuning.next();
  let task: ProgressTask | null = null;
  for (; !next.done; next = await tuning.next()) {
    if (next.value.type === 'start') task = progress.start('tiles', next.value.total);
    else if (next.value.type === 'unneeded')
      task?.advance(next.value.count, `no product at these shapes takes ${next.value.kind}`);
    else task?.advance(1, said(next.value));
  }
  task?.finish();
  return next.value;
}

const tileText = ({ tile }: Tried): string =>
  Object.entries(tile)
    .map(([name, n]) => `${name} ${n}`)
    .join(', ');
const said = (t: Tried): string => `${t.kind} ${t.gflops === null ? t.reason : `${t.gflops.toFixed(1)} GFLOP/s`}`;

function untriedText({ tried, untried }: TuneResult, why: string): string {
  return untried === 0 ? '' : `${untried} of ${tried.length + untried} candidates were not tried: ${why}\n`;
}

/** Lists the tiles by kind, the fastest first; then those that were dropped early, then those without a figure. */
function table({ tried }: TuneResult): string {
  return TILE_KINDS.flatMap((kind) => {
    const rows = tried
      .filter((t) => t.kind === kind)
      .sort((a, b) => Number(a.reason !== null) - Number(b.reason !== null) || (b.gflops ?? -1) - (a.gflops ?? -1));
    const lines = rows.map(
      (t) =>
        `  ${(t.gflops?.toFixed(1) ?? '–').padStart(10)}  ${tileText(t)}${t.reason === null ? '' : `: ${t.reason}`}`,
    );
    return rows.length === 0 ? [] : [`${kind}, GFLOP/s:`, ...lines];
  }).join('\n');
}
