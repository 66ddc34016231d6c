/** Which part of a suite a machine makes: as a flag says it, or the variables of what started the machine. */
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import type { Shard } from '../node/run-types.ts';

type Env = Readonly<Record<string, string | undefined>>;

/** Index and count as systems name them. Slurm counts from the first index of its array; the others from 0. */
const SYSTEMS = [
  { name: 'Kubernetes', index: 'JOB_COMPLETION_INDEX', count: null, first: null },
  { name: 'Cloud Run', index: 'CLOUD_RUN_TASK_INDEX', count: 'CLOUD_RUN_TASK_COUNT', first: null },
  {
    name: 'Slurm',
    index: 'SLURM_ARRAY_TASK_ID',
    count: 'SLURM_ARRAY_TASK_COUNT',
    first: 'SLURM_ARRAY_TASK_MIN',
  },
  { name: 'AWS Batch', index: 'AWS_BATCH_JOB_ARRAY_INDEX', count: 'AWS_BATCH_JOB_ARRAY_SIZE', first: null },
] as const;
const AUTO = 'auto';
const MOST_SHARDS = 10_000;

/**
 * Reads `2/4` (from 1), `auto` or `auto/4`: an index of Kubernetes, Cloud Run, Slurm or AWS Batch, and its count where the
 * system tells it.
 * @throws ConfigError
 */
export function readShard(text: string, env: Env): Shard {
  const [, index, , count] = /^(auto|\d+)(\/(\d+))?$/.exec(text) ?? [];
  const wanted = 'wanted 1/4 (the first of four), auto, or auto/4';
  if (index === undefined || (index !== AUTO && count === undefined)) throw refused(`got ${show(text)}, ${wanted}`);
  if (index !== AUTO) return checked({ i: Number(index), n: Number(count) }, `got ${show(text)}`);
  return ofSystem(env, count === undefined ? null : Number(count));
}

function ofSystem(env: Env, asked: number | null): Shard {
  const present = SYSTEMS.filter(({ index }) => (env[index] ?? '') !== '');
  const [system, other] = present;
  const names = SYSTEMS.map(({ index }) => index).join(', ');
  if (system === undefined) throw refused(`got auto, and none of ${names} is set; give it as 1/4`);
  if (other !== undefined)
    throw refused(`got auto, and ${system.index} and ${other.index} are both set; give it as 1/4`);
  const index = whole(env, system.index);
  const told = system.count === null || (env[system.count] ?? '') === '' ? null : whole(env, system.count);
  const n = asked ?? told;
  if (n === null)
    throw refused(`got auto, and ${system.name} tells an index alone (${system.index}=${index}); give auto/COUNT`);
  if (asked !== null && told !== null && asked !== told)
    throw refused(`got auto/${asked}, and ${system.count} is ${told}; leave the count out`);
  // without a minimum Slurm's arrays are taken to begin at 0, as the others do
  const first = system.first === null || (env[system.first] ?? '') === '' ? 0 : whole(env, system.first);
  return checked({ i: index - first + 1, n }, `${system.index} is ${index}`);
}

function whole(env: Env, name: string): number {
  const text = env[name] ?? '';
  if (!/^\d{1,9}$/.test(text)) throw refused(`${name} is ${show(text)}, wanted an integer of at least 0`);
  return Number(text);
}

function checked(shard: Shard, got: string): Shard {
  const { i, n } = shard;
  if (n < 1 || n > MOST_SHARDS) throw refused(`${got}, wanted 1 to ${MOST_SHARDS} shards`);
  if (i < 1 || i > n) throw refused(`${got}, which is no part of ${n}: wanted 1/${n} to ${n}/${n}`);
  return shard;
}

function refused(message: string): ConfigError {
  return new ConfigError([{ path: '--shard', message }]);
}
