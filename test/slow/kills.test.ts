/** A short round of `npm run kills` (build first): commands ended at moments that are drawn, and two of each at once. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { xoroshiro128plus } from 'pure-rand/generator/xoroshiro128plus';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { COMMANDS, type Command, keepSuite, writeInputs } from '../../bench/reliability/commands.mjs';
import { killed, undisturbed } from '../../bench/reliability/kills.mjs';
import { intoOne, intoTwo } from '../../bench/reliability/pairs.mjs';
import { endAll } from '../../bench/reliability/process.mjs';
import type { Measured } from '../../bench/reliability/trial.mjs';

const SEED = 20;
const KILLS = 20;

const work = mkdtempSync(path.join(tmpdir(), 'nibble-kills-'));
const measured = new Map<string, Measured>();
const lengthOf = ({ name }: Command): Measured => measured.get(name) as Measured;

beforeAll(async () => {
  expect(existsSync(new URL('../../dist/cli/main.js', import.meta.url)), 'run "npm run build"').toBe(true);
  process.env.NIBBLE_DEVICE = process.env.NIBBLE_TEST_DEVICE ?? 'auto';
  writeInputs(work);
  for (const command of COMMANDS) {
    const keep = command.name === 'bench run' ? keepSuite(work) : undefined;
    const { measured: length, faults } = await undisturbed(work, command, keep);
    expect(faults).toEqual([]);
    measured.set(command.name, length);
  }
}, 600_000);

afterAll(() => {
  endAll();
  rmSync(work, { recursive: true });
});

describe.skipIf(process.platform === 'win32')('nothing is lost, written over or half-written', () => {
  test(`by ${KILLS} kills`, { timeout: 900_000 }, async () => {
    const random = xoroshiro128plus(SEED);
    for (let i = 0; i < KILLS; i++) {
      const command = COMMANDS[i % COMMANDS.length] as Command;
      const { faults, signal } = await killed(work, command, lengthOf(command), random);
      expect(faults, `kill ${i} of ${command.name} by ${signal}`).toEqual([]);
    }
  });

  test.each(COMMANDS.map((command) => [command.name, command] as const))(
    'by two at once: %s',
    { timeout: 300_000 },
    async (_, command) => {
      expect((await intoOne(work, command, lengthOf(command))).faults).toEqual([]);
      expect((await intoTwo(work, command, lengthOf(command))).faults).toEqual([]);
    },
  );
});
