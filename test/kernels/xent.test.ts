import { describe, expect, test } from 'vitest';
import { XENT_PARTS, xentBwd, xentFwd, xentHit } from '../../src/kernels/xent.ts';
import { Bench } from '../gpu/harness.ts';
import { expectClose, random } from '../ref/compare.ts';
import { IGNORED, xentBwdRef, xentFwdRef, xentHitRef } from '../ref/xent.ts';

// a row of one; fewer columns than parts; odd; vec4; more than one column per part, rows past 7 workgroups of 64
const SIZES = [
  [1, 1],
  [3, 7],
  [5, 64],
  [4, 515],
  [10, 1024],
] as const;

describe.each(SIZES)('cross entropy rows=%i V=%i', (rows, V) => {
  const [T, row0] = [rows + 3, 2]; // a chunk in the middle of the tokens
  const r = random(V);
  const logits = r.normal32(rows * V, 4);
  const targets = Int32Array.from({ length: T }, (_, t) => (t % 3 === 1 ? IGNORED : (t * 31) % V));
  targets[row0] = V - 1;
  const chunk = targets.slice(row0, row0 + rows);
  const step = { inv_tokens: 1 / 7, loss_scale: 8 };

  function record(bench: Bench) {
    const call = {
      rows,
      V,
      row0,
      logits: bench.input('logits', logits),
      targets: bench.input('targets', targets),
      peak: bench.output('peak', [rows, XENT_PARTS]),
      total: bench.output('total', [rows, XENT_PARTS]),
      lse: bench.output('lse', [rows]),
      rowLoss: bench.output('rowLoss', [T]),
    };
    xentFwd(bench.tape, call);
    return call;
  }

  test('losses of its rows only; evaluation leaves the logits', async () => {
    const bench = new Bench({ spare: ['targets', 'row_loss'], maxWorkgroups: 7, step });
    const call = record(bench);
    await bench.run();
    const got = await bench.read(call.rowLoss);
    // lse and the logit are of size 16 and rounded to f32: 2^-20
    const want = xentFwdRef(logits, chunk, rows, V);
    expectClose('rowLoss', got.subarray(row0, row0 + rows), want, { rtol: 1e-6, atol: 3e-6 });
    expect([...got].map(Number.isNaN)).toEqual(Array.from({ length: T }, (_, t) => t < row0 || t >= row0 + rows));
    expect(await bench.read(call.logits)).toEqual(logits);
  });

  test('targets that have the largest logit of their row', async () => {
    const bench = new Bench({ spare: ['targets', 'row_loss', 'hit'], maxWorkgroups: 7, step });
    const best = logits.slice();
    // every second row's target leads, in the last row together with another
    for (let row = 0; row < rows; row += 2) best[row * V + Math.max(0, chunk[row]!)] = 99;
    best[(rows - 1) * V] = best[rows * V - V + Math.max(0, chunk[rows - 1]!)]!;
    const call = { ...record(bench), logits: bench.input('best', best) };
    xentFwd(bench.tape, call);
    const hit = bench.output('hit', [T]);
    xentHit(bench.tape, call, hit);
    await bench.run();
    const got = new Uint32Array((await bench.read(hit)).buffer).subarray(row0, row0 + rows);
    expect([...got]).toEqual(xentHitRef(best, chunk, rows, V));
  });

  test('gradient in place, weighted with inv_tokens and loss_scale', async () => {
    const bench = new Bench({ spare: ['targets', 'row_loss'], maxWorkgroups: 7, step });
    const call = record(bench);
    xentBwd(bench.tape, call);
    await bench.run();
    const want = xentBwdRef(logits, chunk, rows, V, step.inv_tokens * step.loss_scale);
    // p inherits the error of logit - lse, a few times 2^-20
    expectClose('dlogits', await bench.read(call.logits), want, { rtol: 4e-6, atol: 1e-7 });
  });
});

test('logits of plus and minus 1e30 give finite losses', async () => {
  const [rows, V] = [2, 5];
  const logits = Float32Array.of(-1e30, -1e30, -1e30, -1e30, -1e30, 1e30, -1e30, 0, 0, 0);
  const bench = new Bench({ spare: ['targets', 'row_loss'] });
  const parts = () => bench.output('parts', [rows, XENT_PARTS]);
  const rowLoss = bench.output('rowLoss', [rows]);
  xentFwd(bench.tape, {
    rows,
    V,
    row0: 0,
    logits: bench.input('logits', logits),
    targets: bench.input('targets', Int32Array.of(3, 0)),
    peak: parts(),
    total: parts(),
    lse: bench.output('lse', [rows]),
    rowLoss,
  });
  await bench.run();
  // log 5 is lost beside 1e30
  expectClose('rowLoss', await bench.read(rowLoss), [0, 0], { rtol: 0, atol: 0 });
});
