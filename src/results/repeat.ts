/** A run against its repetition: what is the same, and what would have to be. */
import { deviceOf } from './one-device.ts';
import type { RunRecord } from './run-schema.ts';

/** Whether two values agree; `required` where nothing excuses a difference. */
export type Agreement = {
  readonly what: Aspect;
  readonly agrees: boolean;
  readonly required: boolean;
  /** Largest relative difference of two lists of losses; null for what is equal or not. */
  readonly distance: number | null;
};

/** In the order of a table. */
export const ASPECTS = [
  'settings',
  'weights',
  'rows',
  'parameters',
  'tokens',
  'memory',
  'losses',
  'evaluation',
  'adapter',
] as const;
export type Aspect = (typeof ASPECTS)[number];

/** Why losses and adapters need not agree to the bit, and why bytes need not; empty where they have to. */
export type Excuses = { readonly bits: readonly string[]; readonly bytes: readonly string[] };

/** Compares two records of one run. What neither measured is left out. */
export function compareRepeated(first: RunRecord, again: RunRecord): { agreements: Agreement[]; excuses: Excuses } {
  const excuses = excusesOf(first, again);
  const bits = excuses.bits.length === 0;
  const equal = (what: Aspect, required: boolean, of: (run: RunRecord) => unknown): Agreement[] => {
    const [a, b] = [of(first), of(again)].map((value) => JSON.stringify(value));
    return a === 'null' && b === 'null' ? [] : [{ what, agrees: a === b, required, distance: null }];
  };
  const close = (what: Aspect, of: (run: RunRecord) => (number | null)[]): Agreement[] => {
    const [a, b] = [of(first), of(again)];
    if (a.length === 0 && b.length === 0) return [];
    return [{ what, agrees: JSON.stringify(a) === JSON.stringify(b), required: bits, distance: distanceOf(a, b) }];
  };
  const agreements = [
    // another version knows other settings
    ...equal('settings', isOneVersion(first, again), ({ run_info }) => run_info.plan_id ?? run_info.run_id),
    ...equal('weights', true, ({ meta_info }) => meta_info.model_info.sha256_of_weights),
    ...equal('rows', true, ({ eval_info }) => [eval_info.data_hashes.train, eval_info.data_hashes.eval]),
    ...equal('parameters', true, ({ train_info: t }) => [t.num_trainable_params, t.num_total_params, t.file_size]),
    ...equal('tokens', true, tokensOf),
    ...equal('memory', excuses.bytes.length === 0, ({ train_info: { memory } }) =>
      memory === null ? null : [memory.allocated.peak, memory.by_category, memory.by_phase],
    ),
    ...close('losses', ({ train_info }) => train_info.history.map(({ loss }) => loss)),
    ...close('evaluation', ({ eval_info: { metrics_before, metrics } }) =>
      [metrics_before, metrics].flatMap((found) => (found === null ? [] : [found.eval_loss.value])),
    ),
    ...equal('adapter', bits, ({ numerics }) => numerics.weight_sha256_after),
  ];
  return { agreements, excuses };
}

function tokensOf({ train_info: { history }, eval_info: { metrics, row_losses } }: RunRecord): unknown {
  return [
    history.map(({ num_input_tokens_seen }) => num_input_tokens_seen),
    metrics?.eval_loss.n ?? null,
    row_losses?.tokens ?? null,
  ];
}

const isOneVersion = (a: RunRecord, b: RunRecord): boolean => a.run_info.code.version === b.run_info.code.version;

function excusesOf(first: RunRecord, again: RunRecord): Excuses {
  const differs = (what: string, of: (run: RunRecord) => unknown): string[] => {
    const [a, b] = [of(first), of(again)];
    return a === b ? [] : [`${what}: ${String(b ?? 'unknown')}, and was ${String(a ?? 'unknown')}`];
  };
  const bytes = [
    ...differs('version', ({ run_info }) => run_info.code.version),
    ...differs('tier', ({ train_info }) => train_info.tier),
    ...differs("attention's tier", ({ train_info }) => train_info.attention_tier),
    ...differs('compute_dtype', ({ run_info }) => run_info.train_config.compute_dtype),
  ];
  const bits = [...differs('device', deviceOf), ...differs('webgpu', ({ meta_info }) => meta_info.runtime.webgpu_npm)];
  return { bytes, bits: [...bytes, ...bits] };
}

/** Infinity where the lists are of different lengths, or one has a number and the other none. */
function distanceOf(a: readonly (number | null)[], b: readonly (number | null)[]): number {
  if (a.length !== b.length) return Number.POSITIVE_INFINITY;
  return a.reduce<number>((most, value, i) => {
    const other = b[i] ?? null;
    if (value === null || other === null) return value === other ? most : Number.POSITIVE_INFINITY;
    return value === other
      ? most
      : Math.max(most, Math.abs(value - other) / Math.max(Math.abs(value), Math.abs(other)));
  }, 0);
}
