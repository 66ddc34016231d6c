/** Merged weights byte by byte against those of PEFT's merge_and_unload: test/golden/merge. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openAdapter } from '../../../src/adapters/files.ts';
import { openCheckpoint, openSafetensors } from '../../../src/formats/checkpoint.ts';
import { readModelConfig } from '../../../src/formats/hf-config.ts';
import { adapterBase } from '../../../src/model/adapter-base.ts';
import { mergedSource } from '../../../src/model/merge/source.ts';
import { withTiedHead } from '../../../src/model/tied-head.ts';
import { loadWasmModule } from '../../../src/node/codec.ts';
import { nodeReader } from '../../../src/node/files.ts';
import { Codec } from '../../../src/wasm/codec.ts';
import { rejection } from '../../formats/files.ts';
import { GOLDEN } from '../open.ts';

const OPTIONS = `${GOLDEN}peft-options/`;
const codec = new Codec(await loadWasmModule());
const cases = Object.keys(JSON.parse(readFileSync(`${GOLDEN}merge/merged.json`, 'utf8')));

test.each(cases)('%s', async (label) => {
  const [, name = '', dtype = '', safe] = /^(.*)-(f32|bf16|f16)(-safe)?$/.exec(label) ?? [];
  const own = JSON.parse(readFileSync(`${OPTIONS}${name}/adapter_config.json`, 'utf8')) as {
    base_model_name_or_path: string;
  };
  const base = dtype === 'f32' ? `${OPTIONS}${name}/${own.base_model_name_or_path}` : `${GOLDEN}merge/biased-${dtype}`;
  const reader = nodeReader(base);
  const config = await readModelConfig(reader);
  const source = await withTiedHead(config, await openCheckpoint(reader));
  const adapter = await openAdapter(nodeReader(`${OPTIONS}${name}`), adapterBase(config));
  const merged = await mergedSource(source, adapter, { codec, safeMerge: safe !== undefined });
  const want = await openSafetensors(nodeReader(`${GOLDEN}merge`), `${label}.safetensors`);
  const changed: string[] = [];
  for (const tensor of merged.names()) {
    const { bytes } = merged.info(tensor);
    const [got, before] = [new Uint8Array(bytes), new Uint8Array(bytes)];
    // parts that end within rows, as the slabs of a large weight do
    const part = 40;
    for (let at = 0; at < bytes; at += part)
      await merged.read(tensor, at, got.subarray(at, Math.min(bytes, at + part)));
    await source.read(tensor, 0, before);
    if (Buffer.compare(got, before) === 0) continue;
    changed.push(tensor);
    const golden = new Uint8Array(bytes);
    await want.read(tensor, 0, golden);
    expect(Buffer.compare(got, golden), tensor).toBe(0);
  }
  expect(changed.sort()).toEqual([...want.names()].sort());
});

test('an update that the type of its weight does not hold is blamed on the adapter, where that is asked for', async () => {
  const reader = nodeReader(`${GOLDEN}merge/biased-f16`);
  const config = await readModelConfig(reader);
  const source = await withTiedHead(config, await openCheckpoint(reader));
  const opened = await openAdapter(nodeReader(`${OPTIONS}default`), adapterBase(config));
  const targets = opened.layout.targets.map((target) => ({ ...target, scaling: target.scaling * 1e8 }));
  const adapter = { ...opened, layout: { ...opened.layout, targets } };
  const weight = `${targets[0]!.name}.weight`;
  const read = async (refusesOverflow: boolean) => {
    const merged = await mergedSource(source, adapter, { codec, safeMerge: false, refusesOverflow });
    await merged.read(weight, 0, new Uint8Array(merged.info(weight).bytes));
  };
  await read(false);
  const { message } = await rejection(read(true));
  expect(message).toMatch(
    /peft-options\/default.*q_proj\.weight: element 0 is beyond float16 with the adapter's update added/,
  );
  expect(message).toContain('set dtype to bfloat16 or float32');
});
