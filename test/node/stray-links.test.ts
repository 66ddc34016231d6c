/** Links in a model's folder: what leads out of it is not copied into what people publish. */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, test } from 'vitest';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import { copyCompanions } from '../../src/formats/companions.ts';
import { memoryWriter } from '../../src/formats/memory.ts';
import { nodeReader } from '../../src/node/files.ts';
import { nibble } from '../cli/fakes.ts';
import { directory, GOLDEN } from '../e2e/nibble.ts';

const home = mkdtempSync(path.join(os.tmpdir(), 'nibble-links-'));
afterAll(() => rmSync(home, { recursive: true }));
const secret = path.join(home, 'id_rsa');
writeFileSync(secret, 'secret');

/** Copies the companions of a folder: their content by name, and the notes. */
async function copied(model: string): Promise<{ files: Record<string, string>; notes: string[] }> {
  const written = new Map<string, Uint8Array | string>();
  const notes: string[] = [];
  await copyCompanions(nodeReader(model), memoryWriter(written), (text) => void notes.push(text));
  const files = [...written].map(([name, bytes]) => [name, Buffer.from(bytes as Uint8Array).toString()]);
  return { files: Object.fromEntries(files), notes };
}

describe('a companion that is a link', () => {
  let model = '';
  beforeEach(() => {
    model = mkdtempSync(path.join(home, 'model-'));
    writeFileSync(path.join(model, 'tokenizer.json'), 'own');
  });

  test.each([
    ['an absolute path', () => secret],
    ['a path upwards', () => '../id_rsa'],
    ['a folder whose name begins like the model’s', () => `${model}-evil/id_rsa`],
    ['a link that leads on', () => path.join(home, 'next')],
  ])('to %s is left out, with a note', async (_, target) => {
    mkdirSync(`${model}-evil`, { recursive: true });
    writeFileSync(path.join(`${model}-evil`, 'id_rsa'), 'secret');
    rmSync(path.join(home, 'next'), { force: true });
    symlinkSync(secret, path.join(home, 'next'));
    for (const name of ['tokenizer_config.json', 'LICENSE']) symlinkSync(target(), path.join(model, name));
    const { files, notes } = await copied(model);
    expect(files).toEqual({ 'tokenizer.json': 'own' });
    expect(notes).toHaveLength(2);
    expect(notes.join('\n')).toMatch(
      /tokenizer_config\.json is a link out of the model's folder, to .*id_rsa, and is not/,
    );
  });

  test('to another file of the folder is copied', async () => {
    symlinkSync('tokenizer.json', path.join(model, 'vocab.json'));
    expect(await copied(model)).toEqual({ files: { 'tokenizer.json': 'own', 'vocab.json': 'own' }, notes: [] });
  });

  test('to the blobs of its own repository in the hub cache is copied, to those of another is not', async () => {
    const hub = path.join(model, 'hub');
    const snapshot = path.join(hub, 'models--org--name', 'snapshots', 'abc');
    for (const name of ['models--org--name', 'models--org--private']) {
      mkdirSync(path.join(hub, name, 'blobs'), { recursive: true });
      writeFileSync(path.join(hub, name, 'blobs', '1234'), name);
    }
    mkdirSync(snapshot, { recursive: true });
    symlinkSync('../../blobs/1234', path.join(snapshot, 'tokenizer.json'));
    symlinkSync('../../../models--org--private/blobs/1234', path.join(snapshot, 'vocab.json'));
    const { files, notes } = await copied(snapshot);
    expect(files).toEqual({ 'tokenizer.json': 'models--org--name' });
    expect(notes).toHaveLength(1);
    // the folder may be reached by a link of its own
    symlinkSync(snapshot, path.join(model, 'short'));
    expect((await copied(path.join(model, 'short'))).files).toEqual(files);
  });
});

test('nibble quantize says what it left out', async () => {
  const model = directory({}, path.join(GOLDEN, 'formats', 'llama-untied-f32'));
  symlinkSync(secret, path.join(model, 'LICENSE'));
  writeFileSync(path.join(model, 'NOTICE'), 'terms');
  const out = path.join(directory(), 'out');
  const { code, stderr } = await nibble(['quantize', model, out], [(c) => quantizeCommand(c, runQuantize)]);
  expect([code, stderr]).toEqual([0, expect.stringContaining(`LICENSE is a link out of the model's folder`)]);
  expect(readdirSync(out)).not.toContain('LICENSE');
  expect(readFileSync(path.join(out, 'NOTICE'), 'utf8')).toBe('terms');
});
