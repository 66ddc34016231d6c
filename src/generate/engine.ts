/** Generation on a machine: prompts and tokens in, logits out. Whose turn it is and what is sampled is the caller's. */
import { max as largest } from 'simple-statistics';
import { KernelCallError } from '../errors.ts';
import type { Machine } from '../gpu/machine.ts';
import type { Tensor } from '../gpu/tensor.ts';
import { type AdapterSet, GAINS_PLAN } from '../model/adapter-set.ts';
import type { DeclaredModel } from '../model/declare.ts';
import type { ComputeDtype } from '../model/weight.ts';
import { allocateCache, type CacheShape, CURSOR_WORDS, type KvCache } from './cache.ts';
import { decodeName, type GenerationInputs, PROMPT_LOGITS_NAME, prefillName, recordPhases } from './phases.ts';
import type { ScoreShape } from './plan.ts';
import { Scorer } from './scorer.ts';

export type GenerationSettings = {
  readonly computeDtype: ComputeDtype;
  /** Lengths of prompts there are phases for, ascending: a prompt takes the next one up. */
  readonly prefillLengths: readonly number[];
  /** Sizes of batches likewise. */
  readonly batchSizes: readonly number[];
  readonly cache: Omit<CacheShape, 'rows'>;
  /** Whether `promptLogits` can be called: it takes memory for the hidden states of a prompt. */
  readonly scoresPrompts: boolean;
  /** Shapes of batches that are scored, where texts are. */
  readonly scoreShapes?: readonly ScoreShape[];
};

/** A sequence under way. */
export type SequenceState = {
  /** The pages of the cache that are its own, in order. */
  readonly pages: readonly number[];
  /** Number of its adapter among those of the engine, from 1; 0 for the base. */
  readonly adapter: number;
};

/** The next token of a sequence, and the position it stands at. */
export type NextToken = SequenceState & { readonly token: number; readonly position: number };

/** The part of an engine that schedules and servers need. */
export type Decoder = Pick<GenerationEngine, 'settings' | 'prefill' | 'decode' | 'promptLogits' | 'takeFlags'>;

const WORD_BYTES = 4;
/** Rows of a prompt that are scored at once, unless their logits would take more than the bytes below. */
const SCORED_ROWS = 64;
const SCORED_BYTES = 32 * 2 ** 20;

/** Runs a declared model forward with a cache; `destroy` frees its memory. */
export class GenerationEngine {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly adapters: AdapterSet;
  readonly settings: GenerationSettings;
  /** Null where no text is scored. */
  readonly scorer: Scorer | null;
  readonly #cache: KvCache;
  readonly #inputs: GenerationInputs;
  readonly #vocabulary: number;
  #flags = 0;

  /** Allocates and records everything and runs nothing: an estimate needs no more. `compile` comes next. */
  constructor(machine: Machine, declared: DeclaredModel, adapters: AdapterSet, settings: GenerationSettings) {
    this.machine = machine;
    this.declared = declared;
    this.adapters = adapters;
    this.settings = settings;
    const { scoreShapes = [] } = settings;
    const rows = largest([1, ...settings.batchSizes]);
    const tokens = largest([1, ...settings.batchSizes, ...settings.prefillLengths]);
    this.#vocabulary = declared.model.head.weight.out;
    const sequences = largest([rows, ...scoreShapes.map(({ B }) => B)]);
    this.#cache = allocateCache(machine.residents, declared.model.config, { ...settings.cache, rows: sequences });
    const make = (label: string, n: number) =>
      machine.residents.tensor({ label, shape: [n], dtype: 'u32', category: 'staging' });
    const floats = (label: string, shape: readonly number[], category: 'logits' | 'activations') =>
      machine.residents.tensor({ label, shape, dtype: 'f32', category });
    const scored = Math.max(1, Math.min(SCORED_ROWS, Math.floor(SCORED_BYTES / (WORD_BYTES * this.#vocabulary))));
    const { hidden_size } = declared.model.config;
    const scoring = () => ({
      hidden: floats('prompt_hidden', [tokens, hidden_size], 'activations'),
      picks: make('scored_picks', scored),
      logits: floats('scored_logits', [scored, this.#vocabulary], 'logits'),
    });
    this.#inputs = {
      ids: make('input_ids', tokens),
      picks: make('picks', 1),
      logits: floats('next_logits', [rows, this.#vocabulary], 'logits'),
      scoring: settings.scoresPrompts ? scoring() : null,
    };
    const { computeDtype } = settings;
    const parts = { machine, declared, adapters, cache: this.#cache, inputs: this.#inputs, computeDtype };
    this.scorer = scoreShapes.length === 0 ? null : new Scorer(parts, scoreShapes);
    const mostRows = settings.scoresPrompts ? Math.max(rows, scored) : rows;
    const bytes = largest([WORD_BYTES * (mostRows * this.#vocabulary + 1), this.scorer?.stagingBytes ?? 0]);
    const phases = [...recordPhases(parts, settings), ...(this.scorer?.phases ?? [])];
    machine.prepare(phases, { buffers: 1, bytes });
  }

  /** Compiles all programs; weights may be loading meanwhile. @throws DeviceError */
  compile(): Promise<void> {
    return this.machine.compile();
  }

  /** Runs every program once and yields as `Machine.warmUp` does; nothing is written to the cache. */
  warmUp(): AsyncGenerator<string, void> {
    return this.machine.warmUp(this.warmUpNames);
  }

  /** Names of the programs that `warmUp` runs. */
  get warmUpNames(): string[] {
    return this.machine.plans.map(({ name }) => name).filter((name) => name !== GAINS_PLAN);
  }

  /** Runs a prompt into the pages of its sequence. @returns the logits (V) of what follows it */
  async prefill(ids: Uint32Array<ArrayBuffer>, state: SequenceState): Promise<Float32Array> {
    const S = nextUp(this.settings.prefillLengths, ids.length, 'tokens of a prompt');
    this.machine.write(this.#inputs.ids, ids);
    this.machine.write(this.#inputs.picks, Uint32Array.of(ids.length - 1));
    this.#place([{ ...state, position: 0, count: ids.length }]);
    return (await this.#run(prefillName(S), this.#inputs.logits, 1))[0] as Float32Array;
  }

  /** Logits (V) of what follows each of the first `count` tokens of the prompt that `prefill` ran last, some rows at a time. */
  async *promptLogits(count: number): AsyncGenerator<Float32Array[], void> {
    const { scoring } = this.#inputs;
    if (scoring === null) throw new KernelCallError('generation', 'was made without the logits of prompts');
    const { picks, logits } = scoring;
    for (let row0 = 0; row0 < count; row0 += picks.elements) {
      const rows = Math.min(picks.elements, count - row0);
      // the last piece repeats its last row
      this.machine.write(
        picks,
        Uint32Array.from({ length: picks.elements }, (_, i) => row0 + Math.min(i, rows - 1)),
      );
      yield await this.#run(PROMPT_LOGITS_NAME, logits, rows);
    }
  }

  /** Runs the next token of each sequence. @returns the logits (V) of what follows it, for each */
  async decode(next: readonly NextToken[]): Promise<Float32Array[]> {
    const B = nextUp(this.settings.batchSizes, next.length, 'sequences of a batch');
    // rows without a sequence read what the cache holds at the start of page 0, and write nothing
    const ids = new Uint32Array(B);
    next.forEach(({ token }, i) => {
      ids[i] = token;
    });
    this.machine.write(this.#inputs.ids, ids);
    const idle = Array.from({ length: B - next.length }, () => ({ pages: [0], adapter: 0, position: 0, count: 0 }));
    this.#place([...next.map((row) => ({ ...row, count: 1 })), ...idle]);
    return this.#run(decodeName(B), this.#inputs.logits, next.length);
  }

  /** Flags (src/kernels/flags.ts) that were raised since the last call. */
  takeFlags(): number {
    const flags = this.#flags;
    this.#flags = 0;
    return flags;
  }

  destroy(): void {
    this.machine.destroy();
  }

  #place(rows: readonly (SequenceState & { readonly position: number; readonly count: number })[]): void {
    const { pagesPerRow, cursor, pages } = this.#cache;
    const words = new Uint32Array(rows.length * CURSOR_WORDS);
    const table = new Uint32Array(rows.length * pagesPerRow);
    rows.forEach((row, i) => {
      words.set([row.position, row.count, row.adapter], i * CURSOR_WORDS);
      table.set(row.pages, i * pagesPerRow);
    });
    this.machine.write(cursor, words);
    this.machine.write(pages, table);
  }

  async #run(name: string, logits: Tensor, rows: number): Promise<Float32Array[]> {
    const { flags, device } = this.machine;
    const bytes = WORD_BYTES * rows * this.#vocabulary;
    const into = this.machine.nextStaging();
    const submission = this.machine.submission(name).run(name).read(logits, { bytes, into, to: 0 });
    submission.read(flags, { bytes: WORD_BYTES, into, to: bytes }).clear(flags).submit();
    const buffer = await into.finish(device, bytes + WORD_BYTES);
    this.#flags |= new Uint32Array(buffer, bytes, 1)[0] as number;
    const all = new Float32Array(buffer, 0, bytes / WORD_BYTES);
    return Array.from({ length: rows }, (_, i) => all.subarray(i * this.#vocabulary, (i + 1) * this.#vocabulary));
  }
}

function nextUp(sizes: readonly number[], wanted: number, what: string): number {
  const size = sizes.find((n) => n >= wanted);
  if (size === undefined || wanted < 1)
    throw new KernelCallError('generation', `${wanted} ${what} have no phase; there are ${sizes.join(', ')}`);
  return size;
}
