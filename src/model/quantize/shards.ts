/** Distributes tensors over files, and writes the index of them. */
import { SINGLE_FILE } from '../../formats/checkpoint.ts';
import { DTYPE_BYTES, elementCount } from '../../formats/dtype.ts';
import type { TensorToWrite } from '../../formats/safetensors-write.ts';

/** Tensors that stay together: a weight and its companions. */
export type TensorGroup = readonly TensorToWrite[];
export type Shard = { readonly file: string; readonly tensors: TensorToWrite[] };

/**
 * Fills files in order up to `maxBytes` each; a group that is larger has a file to itself. One file is
 * model.safetensors, several are numbered as transformers numbers them.
 */
export function shardsOf(groups: readonly TensorGroup[], maxBytes: number): Shard[] {
  const files: TensorToWrite[][] = [];
  let room = 0;
  for (const group of groups) {
    const bytes = bytesOf(group);
    if (bytes > room || files.length === 0) {
      files.push([]);
      room = maxBytes;
    }
    for (const tensor of group) files.at(-1)?.push(tensor);
    room -= bytes;
  }
  const number = (n: number): string => String(n).padStart(5, '0');
  return files.map((tensors, i) => ({
    file: files.length === 1 ? SINGLE_FILE : `model-${number(i + 1)}-of-${number(files.length)}.safetensors`,
    tensors,
  }));
}

/** Formats model.safetensors.index.json, its keys sorted as Python sorts them. */
export function shardIndex(shards: readonly Shard[], parameters: number): string {
  const byName = shards.flatMap(({ file, tensors }) => tensors.map(({ name }) => [name, file] as const));
  byName.sort(([a], [b]) => (a < b ? -1 : 1));
  const total = shards.reduce((sum, { tensors }) => sum + bytesOf(tensors), 0);
  const index = {
    metadata: { total_parameters: parameters, total_size: total },
    weight_map: Object.fromEntries(byName),
  };
  return `${JSON.stringify(index, null, 2)}\n`;
}

function bytesOf(tensors: TensorGroup): number {
  return tensors.reduce((sum, { dtype, shape }) => sum + elementCount(shape) * DTYPE_BYTES[dtype], 0);
}
