import { describe, expect, test } from 'vitest';
import { Device } from '../../src/gpu/device.ts';
import { kernelKey, ShaderLibrary } from '../../src/gpu/kernel.ts';
import type { KernelSpec } from '../../src/gpu/kernel-spec.ts';
import { rejection, thrown } from '../formats/files.ts';
import { device } from './harness.ts';

const GRID = `// a comment on top
fn flat_index(wg: vec3u, lane: u32) -> u32 {
  return wg.x * 64u + lane;
}
`;

const TWO_FORMS = `import package::lib::grid::flat_index;

@if(F16) enable f16;
override WG: u32 = 64u;

struct Params {
  n: u32,      // elements: not a field
  shift: i32,
  scale: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@if(PACKED) @group(0) @binding(1) var<storage, read> x: array<u32>;
@if(!PACKED) @group(0) @binding(1) var<storage, read> x: array<f32>;
@if(PACKED && DOUBLE) @group(0) @binding(2) var<storage,read> codes: array<u32>;
@if(!PACKED || DOUBLE) @group(0) @binding(3) var<storage> scales: array<f32>;
@group(0) @binding(7) var<storage, read_write> y: array<f32>;

@compute @workgroup_size(WG)
fn main(@builtin(workgroup_id) wg: vec3u, @builtin(local_invocation_index) lane: u32) {
  let i = flat_index(wg, lane);
  if (i >= params.n) { return; }
  @if(PACKED) y[i] = f32(x[i]) * params.scale;
  @if(!PACKED) y[i] = x[i] * params.scale * scales[0];
}
`;

const library = (files: Record<string, string>) => new ShaderLibrary(new Map(Object.entries(files)));
const shaders = library({ 'two_forms.wgsl': TWO_FORMS, 'lib/grid.wgsl': GRID });

describe('the interface, read from the text', () => {
  const names = (when: string[]) =>
    shaders
      .interfaceOf({ name: 'two_forms', when })
      .bindings.map(({ index, name, access }) => `${index} ${name} ${access}`);

  test('bindings of a variant: by condition, with index and access', () => {
    const [params, y] = ['0 params uniform', '7 y read_write'];
    expect(names([])).toEqual([params, '1 x read', '3 scales read', y]);
    expect(names(['PACKED'])).toEqual([params, '1 x read', y]);
    expect(names(['PACKED', 'DOUBLE'])).toEqual([params, '1 x read', '2 codes read', '3 scales read', y]);
    expect(names(['DOUBLE'])).toEqual([params, '1 x read', '3 scales read', y]);
  });

  test('Params in their order, comments left out', () => {
    expect(shaders.interfaceOf({ name: 'two_forms' }).params).toEqual([
      { name: 'n', type: 'u32' },
      { name: 'shift', type: 'i32' },
      { name: 'scale', type: 'f32' },
    ]);
  });

  test('a field that is no 4-byte scalar is refused', () => {
    const bad = library({ 'bad.wgsl': 'struct Params {\n  n: u32,\n  color: vec4f,\n}\n' });
    expect(thrown(() => bad.interfaceOf({ name: 'bad' })).message).toBe('Params: color is vec4f, not a 4-byte scalar');
  });

  test('a key per file, conditions and constants, whatever their order', () => {
    const keys = [
      { name: 'a' },
      { name: 'a', when: ['X'] },
      { name: 'a', when: ['X', 'Y'] },
      { name: 'a', constants: { D: 64 } },
      { name: 'a', constants: { D: 32 } },
      { name: 'b' },
    ].map(kernelKey);
    expect(new Set(keys).size).toBe(keys.length);
    expect(kernelKey({ name: 'a', when: ['Y', 'X'], constants: { R: 1, D: 2 } })).toBe(
      kernelKey({ name: 'a', when: ['X', 'Y'], constants: { D: 2, R: 1 } }),
    );
    expect(shaders.interfaceOf({ name: 'two_forms' })).toBe(shaders.interfaceOf({ name: 'two_forms', when: [] }));
  });

  test('libraries are no kernels', () => {
    expect(shaders.names).toEqual(['two_forms']);
    expect(() => shaders.interfaceOf({ name: 'three_forms' })).toThrow('no shader of that name among two_forms');
  });
});

describe('linking', () => {
  test('imports come along, conditions and constants are resolved', async () => {
    const source = `import constants::TILE;\n${TWO_FORMS}\nfn tile() -> u32 { return TILE; }\n`.replace(
      'y[i] =',
      'y[i] = f32(tile()) *',
    );
    const lib = library({ 'two_forms.wgsl': source, 'lib/grid.wgsl': GRID });
    const { code } = await lib.link({ name: 'two_forms', when: ['PACKED'], constants: { TILE: 17 } });
    expect(code).toContain('wg.x * 64u + lane');
    expect(code).toMatch(/17/);
    expect(code).toContain('array<u32>');
    for (const gone of ['@if', 'import ', 'scales', 'codes']) expect(code).not.toContain(gone);
  });

  test('every shader of the package has an interface and links in its plain variant', async () => {
    expect(device.shaders.names.length).toBeGreaterThan(20);
    for (const name of device.shaders.names) {
      const { bindings, params } = device.shaders.interfaceOf({ name });
      expect(bindings.length, name).toBeGreaterThan(1);
      expect(params.length, name).toBeGreaterThan(0);
      expect(new Set(bindings.map((b) => b.index)).size, name).toBe(bindings.length);
    }
  });
});

/** A register tile: sums that loops index, and a type that a variant chooses. */
const TILE = `import constants::{ ROWS, COLS };
const QUADS = COLS / 4u;
@if(DOUBLED) const TIMES = 2u;
@if(!DOUBLED) const TIMES = 1u;

// not unrolled: @if(ROWS) {
fn tile_sum(x: f32) -> f32 {
  var sums: array<vec4f, ROWS * QUADS>;
  @unroll for (var i = 0u; i < ROWS; i++) {
    @unroll for (var j = 0u; j < QUADS * TIMES; j += TIMES) { // a brace of a comment: }
      sums[i * QUADS + j / TIMES] = vec4f(x) * f32(i * QUADS + j);
    }
  }
  var sum = vec4f();
  @unroll for (var n = 1u; n < ROWS * QUADS + 1u; n++) { sum += sums[n - 1u]; }
  return sum.x;
}
`;
const TILED = `import package::lib::tile::{ tile_sum, QUADS };
@if(HALF) enable f16;
struct Params { n: u32 }
@if(HALF) alias E = vec4<f16>;
@if(!HALF) alias E = vec4f;
@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<E>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@compute @workgroup_size(1)
fn main() {
  @unroll for (var q = 0u; q < QUADS; q++) { y[q] = tile_sum(vec4f(x[q]).x); }
}
`;
const PLAIN = `${TILED.replace(/import .*\n(.*)\n/, '$1\nenable chromium_experimental_subgroup_matrix;\n@include("lib/tile.wgsl")\n')}`;
const PLAIN_TILE = TILE.replace(/import .*/, 'const ROWS = 1u;\nconst COLS = 4u;');
const tiled = { 'tiled.wgsl': TILED, 'plain.wgsl': PLAIN, 'lib/tile.wgsl': TILE };
const plainTiled = { 'plain.wgsl': PLAIN, 'lib/tile.wgsl': PLAIN_TILE };
const ways = [
  ['by wesl', library(tiled), 'tiled'],
  ['plain', library(plainTiled), 'plain'],
] as const;

describe('loops that the loader unrolls', () => {
  const flat = (code: string) => code.replace(/\/\/.*$/gm, '').replace(/\s+/g, ' ');

  test.each(ways)('%s: by the sizes of the variant, no loop stays', async (_, lib, name) => {
    const of = async (when: string[], constants: Record<string, number>) =>
      flat((await lib.link({ name, when, constants })).code);
    const small = await of([], { ROWS: 1, COLS: 4 });
    expect(small).toMatch(/\{ \{ const i = 0u; ?\{ \{ const j = 0u;/);
    for (const code of [small, await of(['DOUBLED'], { ROWS: 3, COLS: 8 })]) {
      expect(code).not.toContain('for (');
      expect(code).not.toContain('@unroll');
    }
    const counts = async (when: string[]) => {
      const code = await of(when, { ROWS: 3, COLS: 8 });
      return ['i', 'j', 'n', 'q'].map((v) => code.split(`const ${v} = `).length - 1);
    };
    expect(await counts([])).toEqual([3, 6, 6, 2]);
    expect(await counts(['DOUBLED'])).toEqual([3, 6, 6, 2]);
    const doubled = await of(['DOUBLED'], { ROWS: 1, COLS: 8 });
    expect(doubled).toMatch(/const j = 2u;/);
    expect(doubled).toMatch(/const TIMES = 2u;/); // a condition that the library alone names
  });

  test.each(ways)('%s: an alias that a condition chooses', async (_, lib, name) => {
    const alias = async (when: string[]) =>
      (await lib.link({ name, when, constants: { ROWS: 1, COLS: 4 } })).code.match(/alias E = .*;/g);
    expect(await alias([])).toEqual(['alias E = vec4f;']);
    expect(await alias(['HALF'])).toEqual(['alias E = vec4<f16>;']);
    expect(lib.interfaceOf({ name, when: ['HALF'] }).bindings.map((b) => b.name)).toEqual(['params', 'x', 'y']);
  });

  test.each([
    ['a bound that the host gives late', 'i < ROWS;', 'i < params.n;', 'params.n is no whole number'],
    ['a bound that nothing declares', 'i < ROWS;', 'i < LINES;', 'LINES is no whole number'],
    ['a loop of another form', 'i++', 'i--', 'stands before a loop'],
    ['a step of nothing', 'j += TIMES', 'j += TIMES - TIMES', 'a step of 0'],
    ['an end of its own', '= vec4f(x) *', '= vec4f(x); if (x > 1.0) { break; } x *', 'break or continue of its own'],
  ])('%s: file, line and column', async (_, from, to, message) => {
    const source = TILE.replace(from, to);
    const lib = library({ ...tiled, 'lib/tile.wgsl': source });
    const error = await rejection(lib.link({ name: 'tiled', constants: { ROWS: 1, COLS: 4 } }));
    expect(error.name).toBe('KernelCallError');
    const loop = from.startsWith('i') ? source.indexOf('@unroll') : source.lastIndexOf('@unroll', source.indexOf(to));
    const before = source.slice(0, loop).split('\n');
    expect(error.message).toContain(`shaders/lib/tile.wgsl:${before.length}:${before.at(-1)!.length + 1} @unroll`);
    expect(error.message).toContain(message);
  });
});

describe('errors of the compiler', () => {
  /** The device of the tests, with shaders of our own. */
  const compile = async (files: Record<string, string>, spec: KernelSpec) => {
    const { gpu, profile, info } = device;
    const other = new Device({ gpu, profile, info, shaders: library(files) });
    return rejection(other.guarded('compile', () => other.pipeline(other.shaders.interfaceOf(spec))));
  };

  const positionOf = (source: string, what: string) => {
    const before = source.slice(0, source.indexOf(what)).split('\n');
    return `${before.length}:${(before.at(-1) as string).length + 1}`;
  };
  const files = (kernel: string, grid = GRID) => ({ 'two_forms.wgsl': kernel, 'lib/grid.wgsl': grid });

  // the first two pass wesl and fail in the device's compiler, the others fail in wesl
  const broken: [string, Record<string, string>, RegExp][] = [
    [
      'a type error behind imports and dropped lines',
      files(TWO_FORMS.replace('y[i] = x[i] *', 'y[i] = 1i * x[i] *')),
      new RegExp(`does not compile\n  shaders/two_forms\\.wgsl:${positionOf(TWO_FORMS, 'x[i] * params')} .*operator`),
    ],
    [
      'a type error in a library',
      files(TWO_FORMS, GRID.replace('+ lane', '+ 1.5f')),
      new RegExp(`does not compile\n  shaders/lib/grid\\.wgsl:${positionOf(GRID, 'wg.x * 64u')} .*operator`),
    ],
    [
      'a name that nothing declares',
      files(TWO_FORMS.replace('y[i] = x[i] *', 'y[i] = nowt[i] *')),
      new RegExp(`does not link\n  shaders/two_forms\\.wgsl:${positionOf(TWO_FORMS, 'x[i] * params')} .*nowt`),
    ],
    [
      'a name that nothing declares, in a library',
      files(TWO_FORMS, GRID.replace('+ lane', '+ lame')),
      new RegExp(`does not link\n  shaders/lib/grid\\.wgsl:${positionOf(GRID, 'lane;')} .*lame`),
    ],
    [
      'what does not parse',
      files(TWO_FORMS.replace('let i =', 'let let i =')),
      new RegExp(`does not link\n  shaders/two_forms\\.wgsl:${positionOf(TWO_FORMS, 'i = flat')}`),
    ],
  ];
  test.each([
    ['behind copies of a loop', 'sum += sums[n - 1u]', 'sum += 1i * sums[n - 1u]', 'sum += 1i', 7, 'compile'],
    ['in a copy past the first alone', '* f32(i *', '* f32(4u / (1u - i) *', '* f32(4u', 6, 'compile'],
    ['an unknown name in a copy', '* f32(i *', '* nowt(i *', '* nowt', 2, 'link'],
    ['an unknown name behind copies', 'return sum.x', 'return summ.x', 'return summ', 7, 'link'],
  ])('%s: file, line and column', async (_, from, to, at, columns, how) => {
    const source = TILE.replace(from, to);
    const error = await compile(
      { ...tiled, 'lib/tile.wgsl': source },
      { name: 'tiled', constants: { ROWS: 2, COLS: 8 } },
    );
    const [line, column] = positionOf(source, at).split(':').map(Number);
    expect(error.message).toContain(`does not ${how}\n  shaders/lib/tile.wgsl:${line}:${column! + columns} `);
  });

  test.each(broken)('%s: file, line and column', async (_, sources, message) => {
    const error = await compile(sources, { name: 'two_forms' });
    expect(error.name).toBe('KernelCallError');
    expect(error.message).toMatch(/^two_forms: the shader/);
    expect(error.message).toMatch(message);
  });
});
