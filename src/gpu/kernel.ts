/** Reads a shader's bindings and Params from its text, so that hosts go by name, and links its imports and variants with wesl. */
import { link } from 'wesl';
import { KernelCallError } from '../errors.ts';
import type { KernelSpec } from './kernel-spec.ts';
import { isPlainWgsl, plainVariant, withIncludes } from './plain-wgsl.ts';
import { constantsOf, importsOf } from './shader-constants.ts';
import { UnrollError, type Unrolled, unroll, type Values } from './unroll.ts';

export type Access = 'uniform' | 'read' | 'read_write';
export type Binding = { readonly index: number; readonly name: string; readonly access: Access };
export type ParamField = { readonly name: string; readonly type: 'u32' | 'i32' | 'f32' };

export type KernelInterface = {
  /** Unique per file, conditions and constants. */
  readonly key: string;
  readonly spec: KernelSpec;
  readonly bindings: readonly Binding[];
  readonly params: readonly ParamField[];
  /** Names of its `override` constants. */
  readonly overrides: readonly string[];
};

/** Name of the uniform binding that holds a dispatch's own scalars. */
export const PARAMS_BINDING = 'params';

type Linked = { readonly code: string; origin(offset: number): string };

export class ShaderLibrary {
  readonly #sources: ReadonlyMap<string, string>;
  readonly #conditions: readonly string[];
  readonly #interfaces = new Map<string, KernelInterface>();
  readonly #linked = new Map<string, Promise<Linked>>();

  /** @param sources shader text by path below `shaders/`, such as `rmsnorm_fwd.wgsl` and `lib/grid.wgsl` */
  constructor(sources: ReadonlyMap<string, string>) {
    this.#sources = sources;
    this.#conditions = [...new Set([...sources.values()].flatMap(conditionNames))];
  }

  get names(): readonly string[] {
    return [...this.#sources.keys()].filter((f) => !f.startsWith('lib/')).map((f) => f.replace(/\.wgsl$/, ''));
  }

  /** Bindings and Params of one variant. Pure text: works without a device. */
  interfaceOf(spec: KernelSpec): KernelInterface {
    const key = kernelKey(spec);
    const known = this.#interfaces.get(key);
    if (known !== undefined) return known;
    const own = this.#sourceOf(spec.name);
    const when = new Set(spec.when ?? []);
    const source = isPlainWgsl(own) ? this.#included(spec.name, own, when).text : own;
    const overrides = [...source.matchAll(/^override (\w+)/gm)].map(([, name = '']) => name);
    const made = { key, spec, bindings: parseBindings(source, when), params: parseParams(source), overrides };
    this.#interfaces.set(key, made);
    return made;
  }

  /** Plain WGSL of one variant, and where each of its characters came from; linked once, for every device. */
  link(spec: KernelSpec): Promise<Linked> {
    const key = kernelKey(spec);
    const known = this.#linked.get(key) ?? this.#link(spec);
    this.#linked.set(key, known);
    return known;
  }

  async #link(spec: KernelSpec): Promise<Linked> {
    const source = this.#sourceOf(spec.name);
    if (isPlainWgsl(source)) return this.#linkPlain(spec, source);
    const unrolled = this.#unrolled(spec);
    const linked = await link({
      weslSrc: {
        ...Object.fromEntries(this.#sources),
        ...Object.fromEntries([...unrolled].map(([file, { text }]) => [file, text])),
      },
      rootModuleName: spec.name,
      // the conditions of every file: wesl has to know those that only an imported file names, too
      conditions: Object.fromEntries(this.#conditions.map((c) => [c, (spec.when ?? []).includes(c)])),
      constants: { ...spec.constants },
    }).catch((error: unknown) => {
      throw linkError(spec.name, error, (file, line, column) => {
        const text = unrolled.get(file)?.text ?? this.#sources.get(file) ?? '';
        const before = text.split('\n').slice(0, line - 1);
        return this.#place(unrolled, file, text, [...before, ''].join('\n').length + column - 1);
      });
    });
    const origin = (offset: number): string => {
      const from = linked.sourceMap.destToSrc(offset);
      return this.#place(unrolled, weslFile(from.src.path ?? `${spec.name}.wgsl`), from.src.text, from.position);
    };
    return { code: linked.dest, origin };
  }

  #linkPlain(spec: KernelSpec, source: string): Linked {
    const when = new Set(spec.when ?? []);
    const { text, files } = this.#included(spec.name, source, when);
    const variant = plainVariant(text, spec, (condition) => holds(condition, when));
    const origin = (offset: number): string => {
      const before = variant.slice(0, offset).split('\n');
      const file = files.findLast(({ line }) => line < before.length) ?? { path: '', line: 0 };
      return place(`shaders/${file.path}`, before.slice(file.line).join('\n'));
    };
    const values = constantsOf('', new Map([['', text]]), spec.constants ?? {}, (condition) => holds(condition, when));
    const { text: code, sourceOf } = unrollOf(spec.name, variant, values, origin);
    return { code, origin: (offset) => origin(sourceOf(offset)) };
  }

  /** The kernel's file and those it imports, by path, where they have loops to unroll. */
  #unrolled({ name, when = [], constants = {} }: KernelSpec): ReadonlyMap<string, Unrolled> {
    const [set, found, met] = [new Set(when), new Map<string, Unrolled>(), new Set<string>()];
    const visit = (file: string): void => {
      const text = this.#sources.get(file);
      if (text === undefined || met.has(file)) return;
      met.add(file);
      for (const imported of importsOf(text).values()) if (imported !== null) visit(imported);
      if (!text.includes('@unroll')) return;
      const values = constantsOf(file, this.#sources, constants, (condition) => holds(condition, set));
      const origin = (offset: number): string => place(`shaders/${file}`, text.slice(0, offset));
      found.set(file, unrollOf(name, text, values, origin));
    };
    visit(`${name}.wgsl`);
    return found;
  }

  /** Where a character of a text that wesl was given stands in its file. */
  #place(unrolled: ReadonlyMap<string, Unrolled>, file: string, text: string, offset: number): string {
    const before = unrolled.get(file);
    const source = before === undefined ? text : (this.#sources.get(file) ?? text);
    return place(`shaders/${file}`, source.slice(0, before?.sourceOf(offset) ?? offset));
  }

  #included(name: string, source: string, when: ReadonlySet<string>): ReturnType<typeof withIncludes> {
    return withIncludes(source, `${name}.wgsl`, this.#sources, (condition) => holds(condition, when));
  }

  #sourceOf(name: string): string {
    const source = this.#sources.get(`${name}.wgsl`);
    if (source === undefined) throw new KernelCallError(name, `no shader of that name among ${this.names.join(', ')}`);
    return source;
  }
}

export function kernelKey({ name, when = [], constants = {} }: KernelSpec): string {
  const numbers = Object.entries(constants).map(([k, v]) => `${k}=${v}`);
  return [name, ...[...when].sort(), ...numbers.sort()].join('|');
}

/** file:line:column of what follows `before`. */
function place(file: string, before: string): string {
  const lines = before.split('\n');
  return `${file}:${lines.length}:${(lines.at(-1)?.length ?? 0) + 1}`;
}

/** wesl calls every file ./NAME.wesl. */
const weslFile = (path: string): string => path.replace(/^\.\//, '').replace(/\.wesl$/, '.wgsl');

/** Says where wesl failed: at text that does not parse or at a name that is not there, before any device sees it. */
function linkError(
  kernel: string,
  error: unknown,
  placeOf: (file: string, line: number, column: number) => string,
): KernelCallError {
  const { message, weslLocation: at } = error as Error & {
    weslLocation?: { file: string; line: number; column: number };
  };
  const where = at === undefined ? '' : `${placeOf(weslFile(at.file), at.line, at.column)} `;
  const detail = message.replace(/^(\.\/[^:]+\.wesl):(\d+):(\d+)/, (_, path: string, line: string, column: string) =>
    placeOf(weslFile(path), Number(line), Number(column)),
  );
  return new KernelCallError(kernel, `the shader does not link\n  ${where}${detail}`);
}

function unrollOf(kernel: string, text: string, values: Values, origin: (offset: number) => string): Unrolled {
  try {
    return unroll(text, values);
  } catch (error) {
    if (!(error instanceof UnrollError)) throw error;
    throw new KernelCallError(kernel, `the shader does not link\n  ${origin(error.offset)} ${error.message}`);
  }
}

const BINDING_LINE =
  /^(?:@if\(([^)]*)\)\s*)?@group\(0\)\s*@binding\((\d+)\)\s*var<(uniform|storage)(?:\s*,\s*(read_write|read))?>\s*(\w+)\s*:/gm;

function parseBindings(source: string, when: ReadonlySet<string>): Binding[] {
  const found: Binding[] = [];
  for (const [, condition, index, space, access, name] of source.matchAll(BINDING_LINE)) {
    if (condition !== undefined && !holds(condition, when)) continue;
    found.push({
      index: Number(index),
      name: name ?? '',
      access: space === 'uniform' ? 'uniform' : access === 'read_write' ? 'read_write' : 'read',
    });
  }
  return found;
}

/** Evaluates `A`, `!A`, `A && B` and `A || B`; that is all our shaders use. */
function holds(condition: string, when: ReadonlySet<string>): boolean {
  return condition.split('||').some((alternative) =>
    alternative.split('&&').every((term) => {
      const name = term.trim();
      return name.startsWith('!') ? !when.has(name.slice(1)) : when.has(name);
    }),
  );
}

function conditionNames(source: string): string[] {
  return [...source.matchAll(/@(?:if|elif)\(([^)]*)\)/g)].flatMap(([, c]) => (c ?? '').match(/\w+/g) ?? []);
}

/** Params holds 4-byte scalars only, so field i sits at byte 4*i. */
function parseParams(source: string): ParamField[] {
  const body = /struct Params \{([^}]*)\}/.exec(source)?.[1] ?? '';
  const fields = [...body.replace(/\/\/.*$/gm, '').matchAll(/(\w+)\s*:\s*(\w+)/g)];
  return fields.map(([, name = '', type]) => {
    if (type !== 'u32' && type !== 'i32' && type !== 'f32')
      throw new KernelCallError('Params', `${name} is ${type}, not a 4-byte scalar`);
    return { name, type };
  });
}

/** @throws KernelCallError on a missing or unknown name, or an integer field given a fraction. */
export function packParams(kernel: KernelInterface, values: Readonly<Record<string, number>>): Uint8Array {
  requireSameNames(
    kernel.spec.name,
    'parameter',
    kernel.params.map((f) => f.name),
    Object.keys(values),
  );
  const view = new DataView(new ArrayBuffer(4 * kernel.params.length));
  kernel.params.forEach(({ name, type }, i) => {
    const value = values[name] as number;
    if (type === 'f32') view.setFloat32(4 * i, value, true);
    else if (!Number.isInteger(value) || value < (type === 'u32' ? 0 : -(2 ** 31)) || value >= 2 ** 32) {
      throw new KernelCallError(kernel.spec.name, `parameter ${name} is ${type}, got ${value}`);
    } else view.setUint32(4 * i, value >>> 0, true);
  });
  return new Uint8Array(view.buffer);
}

export function requireSameNames(
  kernel: string,
  what: string,
  expected: readonly string[],
  got: readonly string[],
): void {
  const missing = expected.filter((n) => !got.includes(n));
  const unknown = got.filter((n) => !expected.includes(n));
  if (missing.length > 0 || unknown.length > 0) {
    throw new KernelCallError(
      kernel,
      `${what} names: missing [${missing.join(', ')}], unknown [${unknown.join(', ')}]`,
    );
  }
}
