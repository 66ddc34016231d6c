/** What the fuzzer feeds, and what it asks of a reader. */
import type fc from 'fast-check';

/** A reader of something that comes from outside, with inputs made to look like its own. */
export type Reader<Input = unknown> = {
  readonly name: string;
  /** Percentage of the fuzzer's inputs that go to this reader. */
  readonly share: number;
  readonly inputs: fc.Arbitrary<Input>;
  /** Reads the input and checks what was accepted. @throws Inconsistent for what should not have been */
  readonly read: (input: Input) => Promise<void> | void;
};

/** Erases the type of the input, so that readers stand in one list. */
export const reader = <Input>(made: Reader<Input>): Reader => made as Reader;

/** Something was accepted that contradicts itself. */
export class Inconsistent extends Error {
  override readonly name = 'Inconsistent';
}

export function require(holds: boolean, what: string): asserts holds {
  if (!holds) throw new Inconsistent(what);
}

export const requireEqual = (a: unknown, b: unknown, what: string): void =>
  require(JSON.stringify(a) ===
    JSON.stringify(b), `${what}: ${JSON.stringify(a)?.slice(0, 200)} is not ${JSON.stringify(b)?.slice(0, 200)}`);
