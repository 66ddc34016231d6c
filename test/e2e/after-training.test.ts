/** The commands of docs/generate.md, as they stand there: train, generate, merge, export. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { estimateCommand } from '../../src/cli/estimate/command.ts';
import { exportCommand } from '../../src/cli/export/command.ts';
import { runExport } from '../../src/cli/export/run.ts';
import { generateCommand } from '../../src/cli/generate/command.ts';
import { runGenerate } from '../../src/cli/generate/run.ts';
import { mergeCommand } from '../../src/cli/merge/command.ts';
import { runMerge } from '../../src/cli/merge/run.ts';
import { trainCommand } from '../../src/cli/train/command.ts';
import { runTrain } from '../../src/cli/train/run.ts';
import { nibble } from '../cli/fakes.ts';
import { readGguf } from '../formats/gguf-read.ts';
import { directory } from './nibble.ts';

const ROOT = new URL('../../', import.meta.url).pathname;
const page = readFileSync(`${ROOT}docs/generate.md`, 'utf8');
const env = { NIBBLE_DEVICE: process.env.NIBBLE_TEST_DEVICE ?? 'auto', NO_COLOR: '1' };

function block(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\n([^]*?)^\`\`\``, 'm').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/generate.md has no block of ${language}`);
  return found;
}

/** Words of a shell's line; those that are paths become absolute, as if it ran in a clone with `at` below it. */
function wordsOf(line: string, at: string): string[] {
  const words = [...line.matchAll(/"([^"]*)"|(\S+)/g)].map(([, quoted, plain]) => quoted ?? plain ?? '');
  return words.map((word) => {
    if (word.startsWith('./')) return path.join(at, word);
    return word.startsWith('bench/') ? path.join(ROOT, word) : word;
  });
}

test('the four commands of the page run one after the other, and do what it says', async () => {
  const at = directory({ 'rows.jsonl': block('jsonl') });
  const lines = block('sh').trim().split('\n');
  expect(lines.map((line) => line.split(' ')[2])).toEqual(['train', 'generate', 'merge', 'export']);
  const printed: string[] = [];
  for (const line of lines) {
    const [npx, name, ...argv] = wordsOf(line, at);
    expect([npx, name]).toEqual(['npx', 'nibble']);
    const { code, stdout, stderr } = await nibble(
      argv,
      [
        (c) => trainCommand(c, runTrain),
        (c) => generateCommand(c, (args, context) => runGenerate(args, context, async () => '')),
        (c) => mergeCommand(c, runMerge),
        (c) => exportCommand(c, runExport),
      ],
      { env },
    );
    expect(code, `${line}\n${stderr}`).toBe(0);
    printed.push(stdout);
  }
  const said = /prints ` ([^`]*)`/.exec(page)?.[1];
  expect(printed[1]).toBe(` ${said}\n`);
  expect(printed[2]).toContain('28 weights merged');
  expect(printed[2]).toMatch(/smallest and largest update: [\d.]+ % \(.*\) and [\d.]+ % \(.*\) of the norm/);
  expect(existsSync(path.join(at, 'merged/tokenizer.json'))).toBe(true);
  const { metadata, tensors } = readGguf(new Uint8Array(readFileSync(path.join(at, 'out.gguf'))));
  expect([metadata.get('general.architecture'), tensors.size]).toEqual(['llama', 56]);
  expect(readFileSync(path.join(at, 'Modelfile'), 'utf8')).toBe(
    `FROM ${path.join(ROOT, 'bench/models/tiny')}\nADAPTER ./out.gguf\n`,
  );
});

test('every other command of the page is one that the command line takes', async () => {
  const blocks = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)]
    .slice(1)
    .flatMap(([, text]) => text!.trim().split('\n'));
  const lines = blocks.filter((line) => line.startsWith('npx nibble '));
  expect(lines.length).toBeGreaterThanOrEqual(15);
  for (const line of lines) {
    const argv = wordsOf(line.split(' #')[0]!, '/').slice(2);
    let ran = 0;
    const run = async (): Promise<void> => {
      ran++;
    };
    const { code, stderr } = await nibble(
      argv,
      [
        (c) => generateCommand(c, run),
        (c) => mergeCommand(c, run),
        (c) => exportCommand(c, run),
        (c) => estimateCommand(c, run, run),
      ],
      { env },
    );
    expect([line, code, stderr, ran]).toEqual([line, 0, '', 1]);
  }
});
