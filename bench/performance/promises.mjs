/** The rows of docs/performance.md: what, the promise in words, and what measures it or tests it. */

/** @param {string} stages */
const gpu = (stages) => `\`bash bench/gpu-host/gpu-host.sh ${stages}\` on a GPU host`;

/** @typedef {{ what: string, promised: string, by: string, tests?: readonly string[] }} Promised */

/** @type {readonly Promised[]} */
export const PROMISES = [
  {
    what: 'Matrix products',
    promised: '4096 x 4096 x 4096 and 4096 x 11008 x 4096 in f16 with f32 sums: 100 TFLOP/s; f32: 0.4 of cuBLAS',
    by: gpu('gemm'),
  },
  { what: 'NF4 decode', promised: "0.6 of a device copy's bytes per second", by: gpu('dequant') },
  {
    what: 'QLoRA step over LoRA step',
    promised: 'at most 1.15 times at 7B shapes, 4,096 tokens',
    by: gpu('llama-2-7b'),
  },
  {
    what: 'Tokens per second against PEFT',
    promised: 'SmolLM2-135M 1.0 times, TinyLlama-1.1B 0.6, 7B QLoRA 0.4',
    by: gpu('smollm2-135m tinyllama-1.1b llama-2-7b'),
  },
  {
    what: 'Peak memory against PEFT',
    promised: '7B QLoRA 0.8 times; 65B QLoRA, 512 tokens, under 48 GB',
    by: gpu('llama-2-7b llama-65b'),
  },
  {
    what: "A step's cost on the host, and replaced kernels",
    promised: 'a replayed step at most 1.5 times the CPU time of a bare loop; heap and ledger flat over 1,000 steps',
    by: '`node --expose-gc bench/performance/replay.mjs`, `bench/performance/kernels-paired.mjs`',
  },
  {
    what: 'Memory by sequence length and vocabulary',
    promised: 'linear in the first, the loss flat in the second',
    by: '`bench/performance/memory-curves.mjs`',
  },
  {
    what: 'Quantizing in WebAssembly',
    promised: "at least 20 times bitsandbytes' CPU `quantize_4bit`, a thread each",
    by: '`bench/performance/quantize-peer.mjs`',
  },
  {
    what: 'Tiers agree',
    promised: 'at every tested size; what leaves float16 and NaN raise a flag in every tier',
    by: 'tests',
    tests: [
      'test/kernels/matmul.test.ts',
      'test/kernels/matmul-float16.test.ts',
      'test/kernels/matmul-subgroup-matrix.test.ts',
      'test/kernels/float16.test.ts',
      'test/kernels/subnormal.test.ts',
    ],
  },
  {
    what: "The quick suite's time",
    promised: 'before and after, both software drivers',
    by: '`bench/performance/quick-suite.mjs`',
  },
  {
    what: 'Loading a model',
    promised: 'weights go up in slabs while the next ones are quantized and pipelines compile; no figure',
    by: '`bench/performance/load.mjs`',
  },
  {
    what: 'Memory of merging a model of 7B',
    promised: 'at most 2 GB, from a 16-bit base, out of 4 bits and back into them',
    by: '`bench/performance/merge-memory.mjs`',
  },
  {
    what: 'A generated token',
    promised: 'its cost by context and batch, and what 4 bits save; ratios, no figure',
    by: '`bench/performance/decode-curves.mjs`',
  },
  {
    what: 'Plans that trade time for memory',
    promised: '`gradient_checkpointing: auto` takes the fastest plan that fits; a paged optimizer is equal to the bit',
    by: '`bench/performance/auto.mjs`, `bench/performance/paging.mjs`',
  },
];

/** Titles, which the records of the page are held against. */
export const ROWS = PROMISES.map(({ what }) => what);
