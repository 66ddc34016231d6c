/** What an adapter file needs to know of its base model: the modules it can adapt, by the names PyTorch gives them. */
import type { Module } from '../formats/modules.ts';

export type AdapterBase = {
  /** Every module with parameters, in the order of named_modules; the output embedding too where it is tied. */
  readonly modules: readonly Module[];
  /** Full names of the modules that turn tokens into hidden states, and hidden states into logits. */
  readonly inputEmbedding: string;
  readonly outputEmbedding: string;
  /** Whether the two embeddings share their weight. */
  readonly tied: boolean;
  /** The target_modules that PEFT takes where none are given; null where it has no default for the architecture. */
  readonly defaultTargets: readonly string[] | null;
};

/** Tells whether `name` is `ending`, or ends in it after a dot. */
export function endsInPath(name: string, ending: string): boolean {
  return name === ending || name.endsWith(`.${ending}`);
}

/** Cuts a module's name to what follows its last dot. */
export function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
