/** Progress draws bars on a terminal and lines elsewhere; the test moves its clock. */
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest';
import { createProgress } from '../../src/cli/shared/progress.ts';

function screen(isTTY: boolean, env: Record<string, string> = {}, columns = 80) {
  const written: string[] = [];
  const clock = { ms: 0 };
  const stream = { write: (text: string) => written.push(text), isTTY, columns };
  return { written, clock, progress: createProgress(stream, { NO_COLOR: '1', ...env }, () => clock.ms) };
}

const ESC = '\u001b';
const MOVES = new RegExp(`(${ESC}\\[\\d*[AJ]|\\r|\\n)`);

/** Lines above the cursor that a terminal shows after these writes. */
function shown(written: readonly string[]): string[] {
  const lines: string[] = [''];
  for (const part of written.join('').split(MOVES)) {
    if (part === '\n') lines.push('');
    else if (part.startsWith(ESC) && part.endsWith('A')) lines.length -= Number(/\d+/.exec(part)![0]);
    else if (part.startsWith(ESC)) lines[lines.length - 1] = '';
    else if (part !== '\r') lines[lines.length - 1] += part;
  }
  return lines.slice(0, -1);
}

describe('on a terminal', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  test('nested bars are drawn in place, with count, time left and detail', () => {
    const { written, clock, progress } = screen(true);
    const suite = progress.start('quick', 2);
    const run = suite.start('qlora seed 0', 24);
    clock.ms = 6000;
    run.advance(6, 'loss 2.31');
    expect(shown(written)).toEqual([
      'quick  ░░░░░░░░░░  0/2  6.0 s',
      '  qlora seed 0  ███░░░░░░░  6/24  18 s left  loss 2.31',
    ]);
    run.finish('loss 1.90');
    suite.advance();
    progress.note('software driver');
    expect(shown(written)).toEqual([
      '  ✓ qlora seed 0  6.0 s  loss 1.90',
      'software driver',
      'quick  █████░░░░░  1/2  6.0 s left',
    ]);
    progress.stop();
    expect(shown(written)).toEqual(['  ✓ qlora seed 0  6.0 s  loss 1.90', 'software driver']);
  });

  test('draws at most ten times a second, and its clock runs on without events', () => {
    const { written, clock, progress } = screen(true);
    const task = progress.start('train', 1000);
    for (let step = 0; step < 99; step++) {
      clock.ms += 1;
      task.advance();
    }
    expect(written).toHaveLength(1);
    clock.ms = 2000;
    vi.advanceTimersByTime(500);
    expect(shown(written)[0]).toContain('99/1000');
    progress.stop();
    const after = written.length;
    vi.advanceTimersByTime(5000);
    expect(written).toHaveLength(after);
  });

  test('a line wider than the terminal is cut, or the next draw would erase too little', () => {
    const { written, progress } = screen(true, {}, 30);
    progress.start('a label that is much longer than the terminal', 5);
    expect(shown(written)[0]).toHaveLength(29);
    progress.stop();
  });

  test('finishing a task takes what is left inside it along; finishing twice says nothing', () => {
    const { written, progress } = screen(true);
    const outer = progress.start('outer', 1);
    outer.start('inner', 1);
    outer.finish();
    outer.finish();
    expect(shown(written)).toEqual(['✓ outer  0.00 ms']);
    progress.stop();
  });

  test('colours unless NO_COLOR is set', () => {
    const colored = screen(true, { NO_COLOR: '' });
    colored.progress.start('a', 1).finish();
    expect(colored.written.join('')).toContain(`${ESC}[32m✓`);
    const plain = screen(true);
    plain.progress.start('a', 1).finish();
    expect(plain.written.join('')).not.toContain(`${ESC}[3`);
    colored.progress.stop();
    plain.progress.stop();
  });
});

describe('elsewhere', () => {
  test.each([
    ['a pipe', false, {}],
    ['a dumb terminal', true, { TERM: 'dumb' }],
  ] as const)('%s gets plain lines: at the start, every tenth, at the end', (_, isTTY, env) => {
    const { written, clock, progress } = screen(isTTY, { ...env, NO_COLOR: '' });
    const task = progress.start('train', 100);
    for (let step = 0; step < 100; step++) {
      clock.ms += 210;
      task.advance(1, 'loss 2');
    }
    task.finish();
    progress.stop();
    const lines = written.join('').split('\n').slice(0, -1);
    expect(lines).toHaveLength(12);
    expect([lines[0], lines[1], lines[11]]).toEqual(['train …', 'train  10/100  19 s left  loss 2', '✓ train  21 s']);
    expect(written.join('')).not.toContain(ESC);
  });

  test('a task that is over within 2 s says that it began and that it ended', () => {
    const { written, clock, progress } = screen(false);
    const task = progress.start('load', 10);
    for (let i = 0; i < 10; i++) {
      clock.ms += 190;
      task.advance();
    }
    task.finish();
    expect(written.join('')).toBe('load …\n✓ load  1.9 s\n');
  });

  test('a slow task speaks every 2 s, a long one ever more rarely', () => {
    const { written, clock, progress } = screen(false);
    const task = progress.start('train', 1_000_000);
    for (let second = 0; second < 3600; second++) {
      clock.ms += 1000;
      task.advance();
    }
    // 2 s apart for the first 20 s, then a tenth of the age: 10 + ln(3600 / 20) / ln(1 / 0.9) = 59, less for whole
    // seconds.
    expect(written.length).toBeGreaterThan(30);
    expect(written.length).toBeLessThan(65);
    expect(written[1]).toMatch(/^train {2}2\/1000000 /);
  });

  test('a task without a total counts', () => {
    const { written, clock, progress } = screen(false);
    const task = progress.start('load');
    clock.ms = 3000;
    task.advance(7);
    expect(written.at(-1)).toBe('load  7  3.0 s\n');
  });
});
