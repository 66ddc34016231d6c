/** Tokens whose rows of an embedding are trained: PEFT's trainable_token_indices. */
import { show } from '../config/show.ts';
import { type AdapterBase, endsInPath, lastSegment } from './base.ts';
import type { LoraConfig } from './config.ts';

/** Rows of one module that are trained in place of the base's, f32 (n, hidden size). */
export type TrainedTokens = {
  /** The module's name. */
  readonly module: string;
  /** Token ids, in the order of the trained rows. */
  readonly indices: readonly number[];
  readonly shape: readonly [rows: number, columns: number];
  /** Whether the output embedding, whose weight is tied, has the same rows. */
  readonly tied: boolean;
};

/** What follows a module's name in the name of its trained rows. */
export const TOKENS = 'token_adapter.trainable_tokens_delta';

export type TokenFields = Pick<LoraConfig, 'trainable_token_indices'>;

/** Names of modules that are trained in another way: those that have a pair, and those that are trained whole. */
type TrainedOtherwise = { readonly adapted: ReadonlySet<string>; readonly whole: ReadonlySet<string> };

/**
 * Works out which rows are trained. Where the ends of the model are tied, the rows of the input embedding are the output's too.
 * Source: peft.utils.other.set_additional_trainable_modules.
 * @param report is told of what PEFT refuses, and of what nibble has no use for
 */
export function trainedTokens(
  { trainable_token_indices: wanted }: TokenFields,
  base: AdapterBase,
  { adapted, whole }: TrainedOtherwise,
  report: (message: string) => void,
): TrainedTokens[] {
  if (wanted === null) return [];
  const lists = Array.isArray(wanted)
    ? [[lastSegment(base.inputEmbedding), wanted as readonly number[]] as const]
    : Object.entries(wanted as Readonly<Record<string, readonly number[]>>);
  if (lists.length === 0) report('names no module. Give token ids, or null.');
  const found = lists.flatMap(([entry, indices]) => {
    const module = moduleOf(entry, base, report);
    if (module === null) return [];
    checkIndices(indices, module, report);
    if (whole.has(module.name))
      report(`trains tokens of ${module.name}, which modules_to_save trains whole. Keep one of the two.`);
    if (adapted.has(module.name))
      report(`trains tokens of ${module.name}, which target_modules adapts. Keep one of the two.`);
    return [{ module: module.name, indices, shape: [indices.length, module.in] as const, tied: false }];
  });
  requireNamedOnce(found, report);
  return base.tied ? tiedTokens(found, base, report) : inOrder(found, base);
}

/** The embedding that an entry names: PEFT takes the whole name, or what follows a dot of it. */
function moduleOf(entry: string, base: AdapterBase, report: (message: string) => void) {
  const ends = [base.inputEmbedding, base.outputEmbedding];
  const module = base.modules.find(({ name }) => ends.includes(name) && endsInPath(name, entry));
  if (module !== undefined && module.kind !== 'norm') return module;
  const names = ends.map(lastSegment).join(' and ');
  report(`names ${show(entry)}; tokens can be trained of ${names}. Leave it out.`);
  return null;
}

function requireNamedOnce(found: readonly TrainedTokens[], report: (message: string) => void): void {
  const twice = firstRepeated(found.map(({ module }) => module));
  if (twice !== undefined) report(`names ${twice} twice, as ${lastSegment(twice)} and in full. Give one list for it.`);
}

/** The first value that was there before; undefined where there is none. */
function firstRepeated<T>(values: readonly T[]): T | undefined {
  const seen = new Set<T>();
  return values.find((value) => seen.size === seen.add(value).size);
}

type Sized = { readonly name: string; readonly out: number };

function checkIndices(indices: readonly number[], { name, out }: Sized, report: (message: string) => void): void {
  if (indices.length === 0) report(`has no token for ${name}. Give token ids, or leave it out.`);
  const outside = indices.find((id) => id < 0 || id >= out);
  if (outside !== undefined)
    report(`has token ${outside}, and ${name} has ${out} tokens, from 0 to ${out - 1}. Give ids that it has.`);
  const twice = firstRepeated(indices);
  if (twice !== undefined) report(`has token ${twice} more than once for ${name}. Give it once.`);
}

/** Leaves one list for both ends. */
function tiedTokens(
  found: readonly TrainedTokens[],
  base: AdapterBase,
  report: (message: string) => void,
): TrainedTokens[] {
  const [input, output] = [base.inputEmbedding, base.outputEmbedding].map((end) =>
    found.find(({ module }) => module === end),
  );
  if (input === undefined) {
    if (output !== undefined)
      report(
        `trains tokens of ${output.module} alone, whose weight is that of ${base.inputEmbedding}, too: that would untie the two. ` +
          `Name ${lastSegment(base.inputEmbedding)}, which stands for both.`,
      );
    return [];
  }
  if (output !== undefined && output.indices.join() !== input.indices.join())
    report(
      `has other tokens for ${output.module} than for ${input.module}, whose weights are one: that would untie the two. ` +
        'Give both the same.',
    );
  return [{ ...input, tied: true }];
}

/** In the order of the model's modules. */
function inOrder(found: readonly TrainedTokens[], { modules }: AdapterBase): TrainedTokens[] {
  return modules.flatMap(({ name }) => found.filter(({ module }) => module === name));
}
