import { describe, expect, it } from 'vitest';
import { behind, budgetOf } from '../../bench/static-gpu/budget.mjs';
import { ASSUMED, CHIP_NAMES, chipNamed } from '../../bench/static-gpu/chips.mjs';
import { paired } from '../../bench/static-gpu/compare.mjs';
import { evaluate, numbersOf } from '../../bench/static-gpu/numbers.mjs';
import { readOptions } from '../../bench/static-gpu/options.mjs';
import { modelStep } from '../../bench/static-gpu/step-model.mjs';
import type { Bound, Dispatches, PipelineSpec, Rate, Row } from '../../bench/static-gpu/types.d.ts';
import { bytesOf, flopsOf, partOf, roundOf } from '../../bench/static-gpu/work.mjs';

const bound = (name: string, shape: number[], dtype = 'f32', writable = false): Bound => ({
  name,
  shape,
  dtype,
  writable,
  bytes: shape.reduce((a, b) => a * b, dtype === 'f16' ? 2 : 4),
});
const spec = (kernel: string, when: string[] = [], constants: Record<string, number> = {}): PipelineSpec => ({
  key: [kernel, ...when].join('|'),
  kernel,
  when,
  constants,
});
const dispatch = (
  of: PipelineSpec,
  params: Record<string, number>,
  bindings: Bound[],
  count = 1,
  workgroups = 100,
): Dispatches => ({
  key: of.key,
  params,
  bindings,
  count,
  workgroups,
});

const PRODUCT = spec('matmul_subgroup_matrix', ['B_DEPTH']);
const product = dispatch(
  PRODUCT,
  { M: 4096, N: 512, K: 1024, K2: 16, accumulate: 1 },
  [bound('a', [4096, 1024]), bound('w', [512, 1024], 'f16'), bound('y', [4096, 512], 'f32', true)],
  3,
);
const THIN = spec('matmul_simt');
const thin = dispatch(THIN, { M: 4096, N: 16, K: 1024 }, [bound('a', [4096, 1024]), bound('b', [16, 1024])], 2, 5);
const heads = [bound('q', [2 * 256, 4 * 64]), bound('k', [2 * 256, 4 * 64])];
const attended = (of: PipelineSpec) => dispatch(of, { B: 2, S: 256, H: 4 }, heads);

describe('the work of a dispatch', () => {
  it('of products: two operations a term, LoRA’s source among them; of attention half of all pairs', () => {
    expect(flopsOf(PRODUCT, product)).toBe(2 * 4096 * 512 * (1024 + 16));
    const causal = (2 * 4 * 256 * 256 * 64 * 2) / 2;
    const of = (kernel: string, when: string[] = []) => flopsOf(spec(kernel, when), attended(spec(kernel, when)));
    expect(of('attention_fwd_simt')).toBe(2 * causal);
    expect(of('attention_bwd_subgroup_matrix')).toBe(3 * causal);
    expect(of('attention_bwd_subgroup_matrix', ['BY_KEY'])).toBe(4 * causal);
    expect(of('attention_bwd_dkv')).toBe(4 * causal);
    expect(of('attention_delta')).toBe(0);
    expect(flopsOf(spec('rmsnorm_fwd'), product)).toBe(0);
  });

  it('touches each binding once, and what it adds to twice', () => {
    expect(bytesOf(product)).toBe(4 * 4096 * 1024 + 2 * 512 * 1024 + 2 * 4 * 4096 * 512);
    expect(bytesOf({ ...product, params: {} })).toBe(4 * 4096 * 1024 + 2 * 512 * 1024 + 4 * 4096 * 512);
  });

  it('is a product of the base or a thin one of LoRA', () => {
    expect([partOf(PRODUCT, product), partOf(THIN, thin), partOf(spec('matmul_reduce'), thin)]).toEqual([
      'gemm',
      'lora',
      'lora_reduce',
    ]);
    expect(partOf(spec('dequant_4bit'), product)).toBe('dequant');
    expect(partOf(spec('attention_delta'), product)).toBe('elementwise');
    expect(partOf(spec('attention_operands'), product)).toBe('elementwise');
    expect(partOf(spec('attention_fwd_simt'), product)).toBe('attention');
  });

  it('of a round goes by the numbers of the shader and the dtypes that are bound', () => {
    const output = (numbers: Record<string, number>) => ({ tag: '', numbers, usual: null });
    const tile = { BM: 64, BN: 128, BK: 32 };
    expect(roundOf(PRODUCT, product, output(tile))).toEqual({
      flops: 2 * 64 * 128 * 32,
      bytes: 64 * 32 * 4 + 128 * 32 * 2,
    });
    const rows = { BR: 128, BC: 32, D: 64 };
    const fwd = spec('attention_fwd_subgroup_matrix');
    expect(roundOf(fwd, attended(fwd), output(rows))).toEqual({ flops: 4 * 128 * 32 * 64, bytes: 2 * 32 * 64 * 4 });
    const dkv = spec('attention_bwd_simt', ['BY_KEY']);
    expect(roundOf(dkv, attended(dkv), output({ BR: 64, BC: 64, D4: 16 }))?.flops).toBe(8 * 64 * 64 * 64);
    expect(roundOf(spec('rope'), product, output({}))).toBeNull();
    expect(() => roundOf(PRODUCT, product, output({ BM: 64 }))).toThrow(
      /no number BN among BM: .*work.mjs has to learn/,
    );
  });
});

describe('the numbers of a shader', () => {
  it('follow its const lines and the host’s constants', () => {
    const code =
      'const WR = 2u;\nconst BM = WR * RM * 16u; // rows\nconst ROW: u32 = (BM + 8u) / 4u % 7u - 1u;\nconst LOW = -3.0e38;\nconst X = f(2u);\n';
    expect(numbersOf(code, { RM: 4 })).toEqual({ RM: 4, WR: 2, BM: 128, ROW: 5 });
    expect(evaluate('2u * (3u + 4u', {})).toBeNull();
    expect(evaluate('7u / 2u * 2u', {})).toBe(6);
  });
});

describe('the model of a step', () => {
  const chip = { ...chipNamed('nv:180'), units: 10, memory_bytes_per_second: 1e11, dispatch_gap_us: 2 };
  const assumed = {
    ...ASSUMED,
    bandwidth_share: 0.5,
    lora_product_us: 500,
    lora_reduce_us: 3,
    dequant_of_its_bytes: 1.5,
  };
  const plan = (pipelines: PipelineSpec[], dispatches: Dispatches[]) => ({
    model: 'm',
    batch: 1,
    sequence: 1,
    checkpointing: true,
    tier: 'subgroup_matrix' as const,
    pipelines,
    dispatches,
  });
  const at = (tflops: number) => ({ tflops }) as Rate;

  it('takes products at their rate, the rest at the memory’s, and a gap for each: by hand', () => {
    const decode = spec('dequant_4bit');
    const add = spec('add_fwd');
    const megabyte = [bound('x', [250_000])];
    const step = modelStep(
      plan([PRODUCT, THIN, decode, add], [product, thin, dispatch(decode, {}, megabyte), dispatch(add, {}, megabyte)]),
      () => at(1),
      chip,
      assumed,
    );
    expect(step.parts.gemm).toBeCloseTo((3 * 1e3 * 2 * 4096 * 512 * 1040) / 1e12, 9);
    // 16.8 MB at 50 GB/s are 337 us, less than 500
    expect(step.parts.lora).toBeCloseTo(2 * 0.5, 9);
    expect(step.parts.dequant).toBeCloseTo(1.5 * 0.02, 9);
    expect(step.parts.elementwise).toBeCloseTo(0.02, 9);
    expect(step.parts.gaps).toBeCloseTo(7 * 0.002, 9);
    expect(step.ms).toBeCloseTo(
      Object.values(step.parts).reduce((a, b) => a + b),
      9,
    );
    expect(step).toMatchObject({ dispatches: 7, flops: 3 * 2 * 4096 * 512 * 1040 + 2 * 2 * 4096 * 16 * 1024 });
  });

  it('lets memory bind a fast product, and few workgroups a thin one', () => {
    const fast = modelStep(plan([PRODUCT], [product]), () => at(1e6), chip, assumed);
    expect(fast.parts.gemm).toBeCloseTo((3 * 1e3 * bytesOf(product)) / 5e10, 9);
    const asked: (number | undefined)[] = [];
    const rate = (_: string, few?: number) => {
      asked.push(few);
      return at(1e-1);
    };
    // five workgroups on ten units: one at a time on half of them
    const few = modelStep(plan([THIN], [thin]), rate, chip, assumed);
    expect(asked).toEqual([1]);
    expect(few.derivedLoraMs).toBeCloseTo((2 * 1e3 * 2 * 4096 * 16 * 1024) / (0.5 * 1e11), 9);
  });

  it('refuses a product without a rate', () => {
    expect(() => modelStep(plan([PRODUCT], [product]), () => null, chip, assumed)).toThrow(/no modelled rate/);
  });
});

const row = (variant: string, fields: Partial<Row> = {}): Row => ({
  kernel: 'matmul',
  variant,
  tier: 'simt',
  registers: 1,
  scratch_bytes: 0,
  spills: 0,
  resident_workgroups: 1,
  matrix_instructions: null,
  instructions_per_matrix: null,
  copies_per_matrix: null,
  round_clocks: 1,
  bound_by: 'l2',
  tflops: 100,
  gigabytes_per_second: null,
  bytes_per_instruction: null,
  compiler_cycles: null,
  ...fields,
});

describe('the budget', () => {
  const budget = budgetOf([row('A', { scratch_bytes: 64 }), row('B', { tflops: 80, spills: 2 })], []);
  const found = (...rows: Row[]) => behind('nv:180', budget, budgetOf(rows, []));

  it('lets pass what it knows, what is better, and 5 % less', () => {
    expect(found(row('A', { scratch_bytes: 64, tflops: 95.1 }), row('B', { tflops: 200 }))).toEqual([]);
    expect(found(row('C', { tflops: 76.1 }))).toEqual([]);
  });

  it('names scratch and spills that it does not know, and what fell behind', () => {
    expect(found(row('A', { scratch_bytes: 65 }))).toEqual([
      'nv:180 simt matmul A: 65 bytes of scratch, the budget knows of 64',
    ]);
    expect(found(row('C', { spills: 1 }))).toEqual(['nv:180 simt matmul C: 1 spills, the budget knows of 0']);
    expect(found(row('A', { tflops: 94.9 }))).toEqual(['nv:180 simt matmul A: 94.9 TFLOP/s, the budget has 100']);
    // a new variant, by the slowest of its kernel
    expect(found(row('C', { tflops: 75 }))[0]).toMatch(/75 TFLOP\/s, the budget has 80 for the slowest variant/);
    expect(found(row('', { kernel: 'rope', tflops: null, scratch_bytes: 4 }))).toHaveLength(1);
    const steps = { kernels: {}, steps: { step: 100 } };
    expect(behind('x', steps, { kernels: {}, steps: { step: 104 } })).toEqual([]);
    expect(behind('x', steps, { kernels: {}, steps: { step: 106 } })).toEqual([
      'x step: modelled as 106 ms, the budget has 100',
    ]);
  });
});

describe('before and after', () => {
  it('pairs what is the same, then what is likest of the same kernel', () => {
    const pairs = paired(
      [row('A'), row('PLUS 64'), row('tile 64'), row('gone', { kernel: 'rope' })],
      [row('tile 128'), row('A'), row('new', { tier: 'direct' })],
    );
    expect(pairs.map(({ before, after }) => [before?.variant, after?.variant])).toEqual([
      ['tile 64', 'tile 128'],
      ['A', 'A'],
      [undefined, 'new'],
      ['PLUS 64', undefined],
      ['gone', undefined],
    ]);
  });
});

describe('the command line', () => {
  it('has every chip’s constants and sources', () => {
    expect(CHIP_NAMES.length).toBeGreaterThanOrEqual(8);
    for (const name of CHIP_NAMES) expect(chipNamed(name).sources.length, name).toBeGreaterThan(1);
  });

  it('reads lists, takes its defaults and names what it does not know', () => {
    expect(
      readOptions(['--chips', 'nv:180,amd:navi31', '--shapes', '1x4096', '--models', 'smollm2-135m']),
    ).toMatchObject({
      chips: ['nv:180', 'amd:navi31'],
      shapes: [{ batch: 1, sequence: 4096 }],
      models: ['SmolLM2-135M'],
      tiers: ['subgroup_matrix', 'simt'],
      check: false,
    });
    expect(readOptions(['--check']).models).toEqual(['Llama-2-7B', 'SmolLM2-135M', 'Head-Dim-256']);
    expect(() => readOptions(['--chips', 'nv:999'])).toThrow(/--chips: nv:999 is not known: give some of nv:172/);
    expect(() => readOptions(['--shapes', '4'])).toThrow(/--shapes: 4 is not SEQUENCESxTOKENS/);
    expect(() => readOptions(['--tiers', 'cuda'])).toThrow(/--tiers: cuda/);
    expect(() => readOptions(['--nope'])).toThrow(/Unknown option/);
  });
});
