/** Reads the constants of a shader's text before it is linked: the bounds of unrolled loops are made of them. */
import { UnrollError, type Values, wholeNumber } from './unroll.ts';

const CONST_LINE = /^(?:@if\(([^)]*)\)[ \t]*)?const (\w+)(?:: u32)? = ([^;]+);/gm;
const IMPORT = /^import ([\w:]+)::(?:\{([^}]*)\}|(\w+));/gm;
/** The module under which wesl offers the host's constants. */
const HOST_MODULE = 'constants';

/** Names that a file imports, with the file each comes from, such as `lib/grid.wgsl`; null where the host gives it. */
export function importsOf(source: string): Map<string, string | null> {
  const found = new Map<string, string | null>();
  for (const [, module = '', list, single] of source.matchAll(IMPORT)) {
    const file = module === HOST_MODULE ? null : `${module.replace(/^package::/, '').replaceAll('::', '/')}.wgsl`;
    for (const name of (list ?? single ?? '').split(',')) if (name.trim() !== '') found.set(name.trim(), file);
  }
  return found;
}

/** Resolves the names of a file: the host's constants, its own whole numbers, and those it imports. */
export function constantsOf(
  file: string,
  sources: ReadonlyMap<string, string>,
  host: Readonly<Record<string, number>>,
  holds: (condition: string) => boolean,
): Values {
  const source = sources.get(file) ?? '';
  const texts = new Map<string, string>();
  for (const [, condition, name = '', text = ''] of source.matchAll(CONST_LINE))
    if (condition === undefined || holds(condition)) texts.set(name, text);
  const imports = importsOf(source);
  const values: Values = (name) => {
    if (host[name] !== undefined) return host[name];
    const text = texts.get(name);
    const from = imports.get(name);
    if (typeof from === 'string') return constantsOf(from, sources, host, holds)(name);
    if (text === undefined) return undefined;
    try {
      return wholeNumber(text, 0, values);
    } catch (error) {
      if (error instanceof UnrollError) return undefined; // a fraction or a vector cannot be a bound
      throw error;
    }
  };
  return values;
}
