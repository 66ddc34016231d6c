import { Readable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { type CommandMaker, runCli } from '../../src/cli/program.ts';
import { type TuneKernelsArgs, tuneKernelsCommand } from '../../src/cli/tune-kernels/command.ts';

async function tune(argv: readonly string[]) {
  const calls: TuneKernelsArgs[] = [];
  let [out, err] = ['', ''];
  const context = {
    stdout: { write: (text: string) => (out += text) },
    stdin: Readable.from([]),
    stderr: { write: (text: string) => (err += text) },
    env: {},
    signal: new AbortController().signal,
  };
  const make: CommandMaker = (c) =>
    tuneKernelsCommand(c, async (args) => {
      calls.push(args);
    });
  const code = await runCli(['tune-kernels', ...argv], context, [make]);
  return { code, out, err, calls };
}

describe('nibble tune-kernels', () => {
  it('takes Llama-2-7B at 4096 tokens where nothing is named', async () => {
    const { code, calls } = await tune([]);
    expect(code).toBe(0);
    expect(calls).toEqual([
      { models: [], tokens: 4096, rounds: 3, minutes: null, quick: false, dryRun: false, json: false },
    ]);
  });

  it('passes on what is named', async () => {
    const { calls } = await tune([
      './llama',
      './small',
      '--tokens',
      '64',
      '--rounds',
      '1',
      '--minutes',
      '1.5',
      '--quick',
      '--dry-run',
      '--json',
    ]);
    expect(calls).toEqual([
      { models: ['./llama', './small'], tokens: 64, rounds: 1, minutes: 1.5, quick: true, dryRun: true, json: true },
    ]);
  });

  it.each(['0', '-1', '1.5', 'many'])('refuses --tokens %s', async (value) => {
    const { code, err, calls } = await tune([`--tokens=${value}`]);
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain(`got ${value}, wanted a positive integer`);
  });

  it.each(['0', '-1', 'long', 'Infinity'])('refuses --minutes %s', async (value) => {
    const { code, err, calls } = await tune([`--minutes=${value}`]);
    expect([code, calls]).toEqual([2, []]);
    expect(err).toContain(`got ${value}, wanted a positive number of minutes`);
  });

  it('--help shows examples', async () => {
    const { code, out } = await tune(['--help']);
    expect(code).toBe(0);
    expect(out).toContain('nibble tune-kernels ./llama --tokens 2048');
    expect(out).toContain('--minutes <n>');
  });
});
