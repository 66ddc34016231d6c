/** The package as a user has it: packed by npm, installed into a strict project of its own. */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import ts from 'typescript';

const ROOT = new URL('../../', import.meta.url).pathname;
const TEMPLATE = new URL('../package/project/', import.meta.url).pathname;
const NAME = 'nibble-tune';
/** What programs fine-tune: README calls it ./llama. */
export const MODEL = path.join(ROOT, 'bench/models/tiny');
/** Entries that TypeScript resolves to a module; shaders, schemas and package.json are files. */
export const ENTRIES = ['.', './core', './results', './shaders', './nibble.wasm'] as const;

/** The driver that npm brings, so that every machine says the same; elsewhere the best there is. */
const DEVICE = process.platform === 'linux' && process.arch === 'x64' ? { NIBBLE_DEVICE: 'swiftshader' } : {};

export type Outcome = { readonly code: number | null; readonly stdout: string; readonly stderr: string };

/** A folder with the packed package, its dependencies (linked: they need no network) and Node's types, and nothing else. */
export class Project {
  readonly folder = mkdtempSync(path.join(tmpdir(), 'nibble-project-'));

  constructor() {
    const pack = ['pack', '--pack-destination', this.folder, '--json', '--ignore-scripts'];
    const said = execFileSync('npm', pack, { cwd: ROOT, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
    const [{ filename }] = JSON.parse(said) as [{ filename: string }];
    cpSync(TEMPLATE, this.folder, { recursive: true });
    writeFileSync(path.join(this.folder, 'readme.ts'), programOfReadme());
    symlinkSync(MODEL, path.join(this.folder, 'llama'));
    const own = this.#module(NAME);
    mkdirSync(own, { recursive: true });
    execFileSync('tar', ['-C', own, '--strip-components=1', '-xzf', path.join(this.folder, filename)]);
    type Names = Record<string, string>;
    const { dependencies, optionalDependencies } = JSON.parse(readFileSync(path.join(own, 'package.json'), 'utf8')) as {
      dependencies: Names;
      optionalDependencies: Names;
    };
    for (const name of [...Object.keys({ ...dependencies, ...optionalDependencies }), '@types/node']) {
      mkdirSync(path.dirname(this.#module(name)), { recursive: true });
      symlinkSync(path.join(ROOT, 'node_modules', name), this.#module(name));
    }
  }

  #module(name: string): string {
    return path.join(this.folder, 'node_modules', name);
  }

  /** Writes a module that names every export of every entry; returns how many each has. */
  writeExports(): Map<string, number> {
    const { exports } = JSON.parse(readFileSync(path.join(this.#module(NAME), 'package.json'), 'utf8')) as {
      exports: Record<string, { types: string }>;
    };
    const counts = new Map<string, number>();
    const lines = ENTRIES.flatMap((entry, i) => {
      const { types } = exports[entry] ?? { types: '' };
      const { values, others } = exportsOf(path.join(this.#module(NAME), types));
      counts.set(entry, values.length + others.length);
      const used = (names: readonly string[]): string => names.map((name) => `e${i}.${name}`).join(', ');
      return [
        `import * as e${i} from '${path.posix.join(NAME, entry)}';`,
        `export const values${i} = [${used(values)}] as const;`,
        `export type Types${i} = [${used(others)}];`,
      ];
    });
    writeFileSync(path.join(this.folder, 'exports.ts'), `${lines.join('\n')}\n`);
    return counts;
  }

  /** Compiles all modules with that TypeScript, into `out/`. */
  compile(compiler: string): Outcome {
    return this.run(process.execPath, path.join(ROOT, 'node_modules', compiler, 'lib/tsc.js'), '--project', '.');
  }

  run(program: string, ...args: readonly string[]): Outcome {
    const env = { ...process.env, ...DEVICE };
    const { status, stdout, stderr } = spawnSync(program, args, { cwd: this.folder, encoding: 'utf8', env });
    return { code: status, stdout, stderr };
  }

  remove(): void {
    rmSync(this.folder, { recursive: true });
  }
}

/** The first TypeScript of README.md. */
function programOfReadme(): string {
  const [, program] = /^```ts\n([\s\S]*?)^```$/m.exec(readFileSync(path.join(ROOT, 'README.md'), 'utf8')) ?? [];
  if (program === undefined) throw new Error('README.md has no block of TypeScript');
  return program;
}

/** Names that a declaration file exports: what is there at run time, and types alone. */
function exportsOf(file: string): { values: string[]; others: string[] } {
  const options: ts.CompilerOptions = { module: ts.ModuleKind.NodeNext, types: [], lib: ['lib.es2023.d.ts'] };
  const program = ts.createProgram([file], options);
  const checker = program.getTypeChecker();
  const source = program.getSourceFile(file);
  const module = source && checker.getSymbolAtLocation(source);
  const found = { values: [] as string[], others: [] as string[] };
  for (const symbol of module ? checker.getExportsOfModule(module) : []) {
    const real = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
    (real.flags & ts.SymbolFlags.Value ? found.values : found.others).push(symbol.name);
  }
  return found;
}
