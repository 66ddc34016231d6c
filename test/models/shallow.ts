/** The tiny model of the benchmarks cut to its first layers: for tests that hold a run against itself, in less time. */
import { readFileSync } from 'node:fs';
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const COMPANIONS = ['tokenizer.json', 'tokenizer_config.json'];

type Entry = { readonly dtype: string; readonly shape: number[]; readonly data_offsets: readonly [number, number] };

/** Writes the model with `layers` layers of four into `folder`, which it makes, and returns that path. */
export async function writeShallow(folder: string, layers: number): Promise<string> {
  await mkdir(folder, { recursive: true });
  for (const name of COMPANIONS) await cp(path.join(TINY, name), path.join(folder, name));
  const config = JSON.parse(readFileSync(path.join(TINY, 'config.json'), 'utf8'));
  await writeFile(path.join(folder, 'config.json'), JSON.stringify({ ...config, num_hidden_layers: layers }));
  await writeFile(
    path.join(folder, 'model.safetensors'),
    firstLayers(await readFile(path.join(TINY, 'model.safetensors')), layers),
  );
  return folder;
}

function firstLayers(file: Buffer, layers: number): Buffer {
  const headerBytes = Number(file.readBigUInt64LE(0));
  const { __metadata__, ...tensors } = JSON.parse(file.toString('utf8', 8, 8 + headerBytes)) as Record<string, Entry>;
  const kept = Object.entries(tensors).filter(([name]) => Number(/layers\.(\d+)\./.exec(name)?.[1] ?? 0) < layers);
  const parts: Buffer[] = [];
  const header: Record<string, unknown> = { __metadata__ };
  let at = 0;
  for (const [name, { dtype, shape, data_offsets }] of kept) {
    const [start, end] = data_offsets.map((offset) => 8 + headerBytes + offset) as [number, number];
    parts.push(file.subarray(start, end));
    header[name] = { dtype, shape, data_offsets: [at, at + end - start] };
    at += end - start;
  }
  const json = Buffer.from(JSON.stringify(header));
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  return Buffer.concat([length, padded, ...parts]);
}
