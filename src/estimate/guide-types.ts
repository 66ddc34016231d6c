/** What `nibble estimate` says to a buyer, as its JSON has it. */

type EstimatedMethod = 'lora' | 'qlora' | 'full';

/** What a card holds of a method. */
export type CardMethod = {
  readonly method: EstimatedMethod;
  /** Whether it holds the batch that was asked for. */
  readonly fits: boolean;
  /** Tokens of the longest row at that batch, in steps of 64; null where none fits. */
  readonly longest_row: number | null;
  /** Most rows of max_length tokens, up to 32; null where not one fits. */
  readonly largest_batch: number | null;
  /** Whether one row more is beyond the device's limits, whatever its memory. */
  readonly is_device_limit: boolean;
};

export type CardFigures = {
  /** Name, or size in GB as on the box. */
  readonly card: string;
  readonly title: string;
  readonly memory_bytes: number;
  /** Bytes that a run may count on; `usable` of the guide says by which assumption. */
  readonly usable_bytes: number;
  readonly methods: CardMethod[];
};

/** What would make a method need less than it does now. */
export type MethodRemedies = {
  readonly method: EstimatedMethod;
  readonly changes: readonly {
    readonly what: string;
    readonly peak_bytes: number;
    /** The smallest of the cards that holds it then; null where none does. */
    readonly card: string | null;
  }[];
};

export type Guide = {
  /** Usual settings that were taken because nobody set them. */
  readonly assumed: Readonly<Record<string, unknown>>;
  /** The assumption behind usable_bytes, in words. */
  readonly usable: string;
  readonly cards: readonly CardFigures[];
  /** What would help the methods that some card does not hold as asked for. */
  readonly remedies: readonly MethodRemedies[];
};
