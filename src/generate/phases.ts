/** Records the phases of generation: a prompt into the cache, and a token of each sequence of a batch. */
import { liveCommands } from '../gpu/live.ts';
import type { Machine, Recorded } from '../gpu/machine.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type AdapterSet, recordGains } from '../model/adapter-set.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { decoderHidden, rowLogits } from '../model/decoder.ts';
import type { ComputeDtype } from '../model/weight.ts';
import type { KvCache } from './cache.ts';

export type GenerationInputs = {
  readonly ids: Tensor;
  /** The row of a prompt whose logits are wanted: its last. */
  readonly picks: Tensor;
  /** (rows, V): what follows each sequence's last token. */
  readonly logits: Tensor;
  /** Null where prompts are not scored. */
  readonly scoring: ScoringInputs | null;
};

export type ScoringInputs = {
  /** (tokens, C): the normed hidden states of the last prompt. */
  readonly hidden: Tensor;
  /** Rows of them whose logits are wanted. */
  readonly picks: Tensor;
  /** (picks, V) */
  readonly logits: Tensor;
};

export type PhaseParts = {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly adapters: AdapterSet;
  readonly cache: KvCache;
  readonly inputs: GenerationInputs;
  readonly computeDtype: ComputeDtype;
};

export const prefillName = (S: number): string => `prefill(${S})`;
export const decodeName = (B: number): string => `decode(${B})`;
export const PROMPT_LOGITS_NAME = 'prompt_logits';

/** Records a prefill for each length of prompt and a decode for each size of batch. */
export function recordPhases(
  parts: PhaseParts,
  {
    prefillLengths,
    batchSizes,
  }: { readonly prefillLengths: readonly number[]; readonly batchSizes: readonly number[] },
): Recorded[] {
  return [
    ...recordGains(parts.machine, parts.computeDtype, parts.adapters),
    ...prefillLengths.map((S) => record(parts, prefillName(S), { B: 1, S, phase: 'prefill' })),
    ...batchSizes.map((B) => record(parts, decodeName(B), { B, S: 1, phase: 'decode' })),
    ...(parts.inputs.scoring === null ? [] : [recordScores(parts, parts.inputs.scoring)]),
  ];
}

function record(
  { machine, declared, adapters, cache, inputs, computeDtype }: PhaseParts,
  name: string,
  shape: { readonly B: number; readonly S: number; readonly phase: 'prefill' | 'decode' },
): Recorded {
  const { cursor, pages } = cache;
  const tape = machine.tape({ cursor, pages });
  const { B, S, phase } = shape;
  const { scoring } = inputs;
  const wanted = phase === 'prefill' ? { picks: inputs.picks, rows: 1 } : { row0: 0, rows: B };
  const ctx = { tape, computeDtype, ...shape, cache, adapters: adapters.bank };
  const hidden = decoderHidden(ctx, declared.model, inputs.ids.slice(0, B * S));
  if (phase === 'prefill' && scoring !== null) tape.copy(hidden, scoring.hidden.rows(0, S));
  rowLogits(ctx, declared.model, hidden, wanted, inputs.logits.rows(0, B));
  return { name, commands: liveCommands(tape.commands, machine.flags.storage) };
}

/** Records the logits of some rows of the last prompt, all of which have its adapter: the cursor still says which. */
function recordScores(
  { machine, declared, adapters, cache, computeDtype }: PhaseParts,
  inputs: ScoringInputs,
): Recorded {
  const { hidden, picks, logits } = inputs;
  const { cursor, pages } = cache;
  const tape = machine.tape({ cursor, pages });
  const ctx = {
    tape,
    computeDtype,
    B: 1,
    S: picks.elements,
    phase: 'prefill' as const,
    cache,
    adapters: adapters.bank,
  };
  rowLogits(ctx, declared.model, hidden, { picks, rows: picks.elements }, logits);
  return { name: PROMPT_LOGITS_NAME, commands: liveCommands(tape.commands, machine.flags.storage) };
}
