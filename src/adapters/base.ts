/** What an adapter file has to know of its base model: the modules it can sit on, by the names PyTorch gives them. */
import type { Module } from '../formats/modules.ts';

export type AdapterBase = {
  /** Every module with parameters, in the order of named_modules; the output embedding too where it is tied. */
  readonly modules: readonly Module[];
  /** Full names of the modules that turn tokens into hidden states, and hidden states into logits. */
  readonly inputEmbedding: string;
  readonly outputEmbedding: string;
  /** The two share their weight. */
  readonly tied: boolean;
  /** What is adapted where target_modules says nothing; null where PEFT has no default for the architecture. */
  readonly defaultTargets: readonly string[] | null;
};

/** `name` is `ending`, or ends in it at a dot. */
export function endsInPath(name: string, ending: string): boolean {
  return name === ending || name.endsWith(`.${ending}`);
}

export function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
