/** Scores texts that are there already: the loss of each token after those before it, for rows of different adapters. */
import { max as largest } from 'simple-statistics';
import { KernelCallError } from '../errors.ts';
import { liveCommands } from '../gpu/live.ts';
import type { Machine, Recorded } from '../gpu/machine.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { AdapterSet } from '../model/adapter-set.ts';
import type { DeclaredModel } from '../model/declare.ts';
import { decoderLoss } from '../model/decoder.ts';
import type { ComputeDtype } from '../model/weight.ts';
import { CURSOR_WORDS, type KvCache } from './cache.ts';
import type { ScoreShape } from './plan.ts';

/** Rows to score: (B, S) row-major, padded at the end. Labels are shifted already: -100 where nothing is asked. */
export type ScoreBatch = ScoreShape & {
  readonly inputIds: Uint32Array;
  readonly labels: Int32Array;
  /** (B): number of each row's adapter among those of the engine, from 1; 0 for the base. */
  readonly adapters: readonly number[];
};

/** (B, S) each, 0 where nothing was asked. */
export type Scores = {
  /** Nats: the negative log-probability of the label. */
  readonly losses: Float32Array;
  /** 1 where the label is the likeliest token. */
  readonly hits: Uint32Array;
  /** Flags (src/kernels/flags.ts) that the batch raised. */
  readonly flags: number;
};

export type ScorerParts = {
  readonly machine: Machine;
  readonly declared: DeclaredModel;
  readonly adapters: AdapterSet;
  readonly cache: KvCache;
  readonly computeDtype: ComputeDtype;
};

const WORD_BYTES = 4;
const scoreName = ({ B, S }: ScoreShape): string => `score(${B},${S})`;

export class Scorer {
  readonly phases: readonly Recorded[];
  /** Bytes that a batch's results and flags take. */
  readonly stagingBytes: number;
  readonly #parts: ScorerParts;
  readonly #ids: Tensor;
  readonly #labels: Tensor;
  readonly #losses: Tensor;
  readonly #hits: Tensor;
  readonly #names: ReadonlySet<string>;

  /** Allocates and records; the caller prepares the phases with its own. */
  constructor(parts: ScorerParts, shapes: readonly ScoreShape[]) {
    const tokens = largest(shapes.map(({ B, S }) => B * S));
    const make = (label: string, dtype: 'u32' | 'i32' | 'f32') =>
      parts.machine.residents.tensor({ label, shape: [tokens], dtype, category: 'staging' });
    this.#parts = parts;
    this.#ids = make('score_ids', 'u32');
    this.#labels = make('score_labels', 'i32');
    this.#losses = make('score_losses', 'f32');
    this.#hits = make('score_hits', 'u32');
    this.stagingBytes = 2 * WORD_BYTES * tokens + WORD_BYTES;
    this.phases = shapes.map((shape) => this.#record(shape));
    this.#names = new Set(shapes.map(scoreName));
  }

  #record(shape: ScoreShape): Recorded {
    const { machine, declared, adapters, cache, computeDtype } = this.#parts;
    const { cursor, pages } = cache;
    const tape = machine.tape({ cursor, pages });
    const T = shape.B * shape.S;
    const ctx = { tape, computeDtype, ...shape, phase: 'eval', adapters: adapters.bank } as const;
    const loss = {
      labels: this.#labels.slice(0, T),
      rowLoss: this.#losses.slice(0, T),
      hit: this.#hits.slice(0, T),
    };
    decoderLoss(ctx, declared.model, this.#ids.slice(0, T), loss, false);
    return { name: scoreName(shape), commands: liveCommands(tape.commands, machine.flags.storage) };
  }

  /** Scores a batch of one of the shapes. @throws DeviceError */
  async score(batch: ScoreBatch): Promise<Scores> {
    const { machine, cache } = this.#parts;
    const name = scoreName(batch);
    if (!this.#names.has(name))
      throw new KernelCallError(name, `has no phase; there are ${[...this.#names].join(', ')}`);
    machine.write(this.#ids, batch.inputIds as Uint32Array<ArrayBuffer>);
    machine.write(this.#labels, batch.labels as Int32Array<ArrayBuffer>);
    const cursor = new Uint32Array(batch.B * CURSOR_WORDS);
    batch.adapters.forEach((adapter, b) => {
      cursor.set([0, batch.S, adapter], b * CURSOR_WORDS);
    });
    machine.write(cache.cursor, cursor);
    return this.#run(name, batch.B * batch.S);
  }

  async #run(name: string, tokens: number): Promise<Scores> {
    const { machine } = this.#parts;
    const { flags, device } = machine;
    const bytes = WORD_BYTES * tokens;
    const into = machine.nextStaging();
    const submission = machine.submission(name).run(name);
    submission.read(this.#losses, { bytes, into, to: 0 }).read(this.#hits, { bytes, into, to: bytes });
    submission
      .read(flags, { bytes: WORD_BYTES, into, to: 2 * bytes })
      .clear(flags)
      .submit();
    const buffer = await into.finish(device, 2 * bytes + WORD_BYTES);
    return {
      losses: new Float32Array(buffer, 0, tokens),
      hits: new Uint32Array(buffer, bytes, tokens),
      flags: new Uint32Array(buffer, 2 * bytes, 1)[0] as number,
    };
  }
}
