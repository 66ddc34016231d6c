/** What two folders of one run have to have in common, to the bit: all but times and places. */
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

const TIMES = /_runtime$|_per_second$|^seconds$/;
type Json = Record<string, unknown>;

const json = (file: string): Json => JSON.parse(readFileSync(file, 'utf8')) as Json;
const sha256 = (file: string): string => createHash('sha256').update(readFileSync(file)).digest('hex');

function withoutTimes(row: Json): Json {
  return Object.fromEntries(Object.entries(row).filter(([key]) => !TIMES.test(key)));
}

function stateOf(file: string): Json {
  const { log_history, best_model_checkpoint, ...state } = json(file);
  const best = best_model_checkpoint === null ? null : path.basename(String(best_model_checkpoint));
  return { ...state, best_model_checkpoint: best, log_history: (log_history as Json[]).map(withoutTimes) };
}

/** Weights, moments and logs of a finished run, and of each of its checkpoints. */
export function comparable(folder: string): Json {
  const weights = ['adapter_model.safetensors', 'model.safetensors', 'optimizer.safetensors'];
  const hashes = (of: string) =>
    Object.fromEntries(weights.filter((f) => existsSync(path.join(of, f))).map((f) => [f, sha256(path.join(of, f))]));
  const checkpoints = readdirSync(folder).filter((name) => name.startsWith('checkpoint-'));
  const record = json(path.join(folder, 'run.json')) as {
    train_info: { history: Json[] };
    eval_info: { metrics: unknown };
  };
  return {
    ...hashes(folder),
    state: stateOf(path.join(folder, 'trainer_state.json')),
    log: readFileSync(path.join(folder, 'log.jsonl'), 'utf8')
      .trimEnd()
      .split('\n')
      .map((line) => withoutTimes(JSON.parse(line) as Json)),
    history: record.train_info.history.map(({ step_time_ms, memory_allocated, ...row }) => row),
    metrics: record.eval_info.metrics,
    checkpoints: Object.fromEntries(
      checkpoints.sort().map((name) => {
        const at = path.join(folder, name);
        return [name, { ...hashes(at), state: stateOf(path.join(at, 'trainer_state.json')) }];
      }),
    ),
  };
}
