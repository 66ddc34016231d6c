import { existsSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { ROOT, textFiles } from './files.ts';

const sources = textFiles('src', '.ts');
const shaders = textFiles('shaders', '.wgsl');
const kernels = new Map([...shaders].filter(([path]) => !path.startsWith('lib/')));

const MAX_TS_LINES = 500;
const MAX_WGSL_LINES = 150;

const lineCount = (text: string): number => text.trimEnd().split('\n').length;

function tooLong(files: ReadonlyMap<string, string>, limit: number): string[] {
  return [...files].filter(([, text]) => lineCount(text) > limit).map(([path, text]) => `${path}: ${lineCount(text)}`);
}

/** The last line of a kernel's head: where its host half and its reference are. */
const PLACES = /^\/\/ Host: (\S+)\s+Reference: (\S+)$/m;

function headProblems(path: string, text: string): string[] {
  const name = path.replace(/\.wgsl$/, '');
  const [, host = '', reference = ''] = PLACES.exec(text) ?? [];
  if (host === '') return [`${path}: its head has no line "// Host: PATH   Reference: PATH"`];
  const problems = [host, reference]
    .filter((place) => !existsSync(new URL(place, ROOT)))
    .map((place) => `${path}: names ${place}, which is not there`);
  const half = sources.get(host.replace(/^src\//, ''));
  if (half !== undefined && !half.includes(`'${name}'`)) problems.push(`${path}: ${host} never names '${name}'`);
  return problems;
}

describe('house rules', () => {
  it('files stay short enough to read', () => {
    expect(sources.size).toBeGreaterThan(110);
    expect(shaders.size).toBeGreaterThan(30);
    expect(tooLong(sources, MAX_TS_LINES)).toEqual([]);
    expect(tooLong(shaders, MAX_WGSL_LINES)).toEqual([]);
  });

  it('every kernel names a host half that names it, and a reference', () => {
    expect(kernels.size).toBeGreaterThan(25);
    expect([...kernels].flatMap(([path, text]) => headProblems(path, text))).toEqual([]);
  });

  it('createBuffer is called in one file', () => {
    const calling = [...sources].filter(([, text]) => /\.\s*createBuffer\s*\(/.test(text));
    expect(calling.map(([path]) => path)).toEqual(['gpu/allocator.ts']);
  });

  it('GPU work is submitted by the engine, never by a kernel', () => {
    const submitting = [...sources].filter(
      ([path, text]) => path.startsWith('kernels/') && /\.submit\(|mapAsync/.test(text),
    );
    expect(submitting.map(([path]) => path)).toEqual([]);
  });
});

describe('the rules see what they are for', () => {
  it('a file past the limit', () => {
    const lines = (n: number) => 'x\n'.repeat(n);
    expect(
      tooLong(
        new Map([
          ['a.ts', lines(500)],
          ['b.ts', lines(501)],
        ]),
        MAX_TS_LINES,
      ),
    ).toEqual(['b.ts: 501']);
  });

  it('a kernel without places, with dead ones, or unknown to its host', () => {
    const head = (host: string, reference: string) => `// sum\n// Host: ${host}   Reference: ${reference}\n`;
    expect(headProblems('x.wgsl', '// sum\n')[0]).toContain('no line');
    expect(headProblems('x.wgsl', head('src/gone.ts', 'test/ref/compare.ts'))[0]).toContain('src/gone.ts');
    expect(headProblems('x.wgsl', head('src/kernels/add.ts', 'test/ref/gone.ts'))[0]).toContain('test/ref/gone.ts');
    expect(headProblems('x.wgsl', head('src/kernels/add.ts', 'test/ref/compare.ts'))[0]).toContain("never names 'x'");
    expect(headProblems('add_fwd.wgsl', head('src/kernels/add.ts', 'test/ref/compare.ts'))).toEqual([]);
  });
});
