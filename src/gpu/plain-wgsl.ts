/**
 * Links variants of shaders that use built-ins unknown to wesl (subgroup matrices, wesl 0.7.31). Such a
 * file is WGSL by itself: `@if(NAME)` stands before single lines, and the host's constants replace the values of
 * top-level `const NAME = 1u;` lines. `@include("lib/NAME.wgsl")` on a line, after an `@if` or not, puts that file's declarations
 * behind the file's own, so that lines and columns stay where they were.
 */
import { KernelCallError } from '../errors.ts';
import type { KernelSpec } from './kernel-spec.ts';

/** Whether a shader is read here rather than by wesl. */
export const isPlainWgsl = (source: string): boolean => /^enable chromium_experimental_subgroup_matrix;/m.test(source);

const INCLUDE_LINE = /^(?:@if\(([^)]*)\)[ \t]*)?@include\("([^"]+)"\)[ \t]*$/gm;

/** A file and, behind it, those that it includes; `files` are their paths and first lines, from 0, in order. */
export function withIncludes(
  source: string,
  path: string,
  sources: ReadonlyMap<string, string>,
  holds: (condition: string) => boolean,
) {
  let text = source.replace(INCLUDE_LINE, '');
  const files = [{ path, line: 0 }];
  for (const [, condition, included = ''] of source.matchAll(INCLUDE_LINE)) {
    if (condition !== undefined && !holds(condition)) continue;
    const more = sources.get(included);
    if (more === undefined) throw new KernelCallError(path, `includes ${included}, which is not there`);
    files.push({ path: included, line: text.split('\n').length });
    text += `\n${more}`;
  }
  return { text, files };
}

const IF_LINE = /^([ \t]*)(@if\(([^)]*)\)[ \t]*)(.*)$/gm;

/** @throws KernelCallError when a constant is given that the shader does not declare */
export function plainVariant(
  source: string,
  { name, constants = {} }: KernelSpec,
  holds: (condition: string) => boolean,
): string {
  let code = source.replace(IF_LINE, (_, indent: string, head: string, condition: string, rest: string) =>
    holds(condition) ? indent + ' '.repeat(head.length) + rest : '',
  );
  for (const [constant, value] of Object.entries(constants)) {
    const line = new RegExp(`^const ${constant} = \\d+u;`, 'm');
    if (!line.test(code)) throw new KernelCallError(name, `constant ${constant} is given, but the shader has none`);
    code = code.replace(line, `const ${constant} = ${value}u;`);
  }
  return code;
}
