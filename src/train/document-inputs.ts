/** Inputs that packed rows add to an engine's: where the documents of each row lie. */
import type { PackedDocuments } from '../data/documents.ts';
import type { Residents } from '../gpu/residents.ts';
import type { Tensor } from '../gpu/tensor.ts';
import type { OpContext } from '../model/ops/context.ts';

export type DocumentInputs = { readonly [K in keyof PackedDocuments]: Tensor };

/** Allocates u32 tensors for batches of up to `rows` tokens. */
export function allocateDocuments(residents: Residents, rows: number): DocumentInputs {
  const make = (label: string): Tensor =>
    residents.tensor({ label: `documents.${label}`, shape: [rows], dtype: 'u32', category: 'staging' });
  return { positions: make('positions'), starts: make('starts'), ends: make('ends') };
}

/** Positions and documents for the ops' context, cut to a batch of T tokens. */
export function documentContext({ positions, starts, ends }: DocumentInputs, T: number) {
  const [first, past] = [starts.slice(0, T), ends.slice(0, T)];
  return { positions: positions.slice(0, T), documents: { starts: first, ends: past } } satisfies Partial<OpContext>;
}

/** Documents of B rows of S tokens where each row is one document, padding included. */
export function wholeRows({ B, S }: { readonly B: number; readonly S: number }): PackedDocuments {
  return {
    positions: Uint32Array.from({ length: B * S }, (_, t) => t % S),
    starts: new Uint32Array(B * S),
    ends: new Uint32Array(B * S).fill(S),
  };
}
