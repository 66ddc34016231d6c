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
  test.each(broken)('%s: file, line and column', async (_, sources, message) => {
    const error = await compile(sources, { name: 'two_forms' });
    expect(error.name).toBe('KernelCallError');
    expect(error.message).toMatch(/^two_forms: the shader/);
    expect(error.message).toMatch(message);
  });
});
