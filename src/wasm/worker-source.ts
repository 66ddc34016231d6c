/**
 * The body of a quantizer worker, as text. A file would have to be found from dist/*.js, from .ts under a test runner and
 * from a bundle, with another extension and loader each time; text given to `new Worker(text, {eval: true})`
 * runs in all of them, and the code that matters, the module, arrives compiled.
 *
 * workerData: {module, region, packed, absmax}: byte addresses. A message: {buffer, sourceBytes, packedBytes,
 * absmaxBytes, args}; `buffer` is laid out like a region and travels back with the results in it.
 */
export const WORKER_SOURCE = `
const { parentPort, workerData } = require('node:worker_threads');
const { module, region, packed, absmax } = workerData;
const wasm = new WebAssembly.Instance(module, {}).exports;
const memory = new Uint8Array(wasm.memory.buffer, region);
parentPort.on('message', ({ buffer, sourceBytes, packedBytes, absmaxBytes, code, dtype, elements, blockSize }) => {
  const started = performance.now();
  const bytes = new Uint8Array(buffer);
  memory.set(bytes.subarray(0, sourceBytes));
  const badIndex = wasm.quantize4bit(code, dtype, region, elements, blockSize, region + packed, region + absmax);
  bytes.set(memory.subarray(packed, packed + packedBytes), packed);
  bytes.set(memory.subarray(absmax, absmax + absmaxBytes), absmax);
  parentPort.postMessage({ buffer, badIndex, seconds: (performance.now() - started) / 1000 }, [buffer]);
});
`;
