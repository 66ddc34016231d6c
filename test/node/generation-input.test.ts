/** What a generation is refused for, or told of, before it takes GPU memory. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { checkGenerateSettings } from '../../src/config/generate.ts';
import { nameProblems, otherBaseNotes } from '../../src/node/adapter-names.ts';
import { nodeReader } from '../../src/node/files.ts';
import { readGenerationInput } from '../../src/node/generation-input.ts';
import { rejection } from '../formats/files.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const config = checkGenerateSettings({}, () => 'options');
const refusal = async (prompt: string) => {
  const job = { model: TINY, modelName: 'model', adapters: [], prompts: [{ prompt, where: 'a.jsonl:7' }], config };
  return (await rejection(readGenerationInput(job, nodeReader))).message;
};

test('half a character is said of its prompt', async () => {
  expect(await refusal('a \ud800')).toMatch(/^a\.jsonl:7: .*half of a surrogate pair/);
});

test('a text that no context holds is refused without cutting it into tokens', async () => {
  const { max_position_embeddings: context } = JSON.parse(readFileSync(path.join(TINY, 'config.json'), 'utf8'));
  expect(await refusal('a '.repeat(8 * 2 ** 20))).toContain(
    `a.jsonl:7: has 16777216 characters, and no text of so many fits the model's context of ${context} tokens`,
  );
  expect(await refusal('a '.repeat(8 * context))).toMatch(/has \d+ tokens/);
});

test('an adapter needs a name, and one of its own', () => {
  const named = ['', 'b', 'b'].map((name, i) => ({ name, directory: `./${i}` }));
  expect(nameProblems(named).map(({ message }) => message)).toEqual([
    './0 is given an empty name; write DIR=NAME, or DIR alone',
    'two adapters are called b; give one another name: DIR=NAME',
  ]);
});

test.each([
  ['meta-llama/Llama-2-7b-hf', './tiny', true],
  ['/home/me/tiny', 'bench/models/tiny/', false],
  ['HuggingFaceTB/SmolLM2-135M', '/hub/models--HuggingFaceTB--SmolLM2-135M/snapshots/12fd25f', false],
  ['C:\\models\\Tiny', 'tiny', false],
  [null, 'tiny', false],
])('an adapter of %s on %s is remarked on: %s', (base, model, isTold) => {
  const adapter = { config: { base_model_name_or_path: base } } as Parameters<typeof otherBaseNotes>[0];
  const notes = otherBaseNotes(adapter, { directory: './law' }, model);
  expect(notes.length).toBe(isTold ? 1 : 0);
  if (isTold) expect(notes[0]).toMatch(/^\.\/law: adapter_config\.json names .* as the base, and this is/);
});
