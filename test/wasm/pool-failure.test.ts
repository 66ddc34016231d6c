import { afterEach, expect, test, vi } from 'vitest';
import { encode, stream, wasmModule, weights } from './helpers.ts';

afterEach(() => {
  vi.doUnmock('../../src/wasm/worker-source.ts');
});

test.each([
  ['process.exit(3)', 'exited with code 3'],
  ['throw new RangeError("out of luck")', 'out of luck'],
])('a worker that ends with %s fails the call in hand and every later one, without hanging', async (body, message) => {
  vi.resetModules();
  const source = `require('node:worker_threads').parentPort.on('message', () => { ${body} })`;
  vi.doMock('../../src/wasm/worker-source.ts', () => ({ WORKER_SOURCE: source }));
  const { createQuantizerPool } = await import('../../src/node/codec.ts');
  const pool = createQuantizerPool(wasmModule, { workers: 2, slabBytes: 4096 * 4 });
  const raw = encode(weights(50_000), 'float32');
  const spec = { quantType: 'nf4', blockSize: 64, doubleQuant: true } as const;
  await expect(stream(pool, raw, 'float32', spec)).rejects.toThrow(message);
  await expect(stream(pool, raw, 'float32', spec)).rejects.toThrow(message);
  await pool.close();
});
