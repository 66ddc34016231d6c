/** Reads import lines and holds them against the rooms of the house: who may import whom, and who may touch Node. */

/** Rooms from the ground up. A file imports from its own room and from lower rows, never from its own row's neighbour. */
export const ROWS: readonly (readonly string[])[] = [
  ['errors'],
  ['config'],
  ['gpu', 'wasm'],
  ['kernels', 'formats', 'results'],
  ['data', 'adapters', 'report', 'tune'],
  ['model'],
  ['train', 'generate'],
  ['estimate', 'eval', 'serve'],
  ['node'],
  ['doctor'],
  ['bench', 'edge', 'index', 'core'],
  ['cli'],
];

/** Rooms that are Node programs throughout; no other may import Node, types included. */
const NODE_ROOMS = ['node', 'bench', 'cli'];
/** Modules that exist only in Node, or that bind to it: Dawn, file access, worker threads. */
const NODE_ONLY = /^(node:|webgpu$|tar-stream$|write-file-atomic$|@sparticuz\/)/;

export type Import = { readonly from: string; readonly to: string };

const IMPORT_LINE =
  /^(?:import|export)\s+(?:type\s+)?(?:[^'";]*?\sfrom\s+)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]\s*\)/gm;

/** All imports of one file: static, of types, re-exports, dynamic. `path` is below src/. Comments do not count. */
export function importsOf(path: string, text: string): Import[] {
  const code = text.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '');
  return [...code.matchAll(IMPORT_LINE)].map(([, plain, dynamic]) => {
    const to = plain ?? dynamic ?? '';
    return { from: path, to: to.startsWith('.') ? resolve(path, to) : to };
  });
}

function resolve(from: string, relative: string): string {
  const parts = from.split('/').slice(0, -1);
  for (const part of relative.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '.') parts.push(part);
  }
  return parts.join('/');
}

/** `train/run.ts` -> train, `errors.ts` -> errors. */
export function roomOf(path: string): string {
  const [first = '', ...rest] = path.split('/');
  return rest.length === 0 ? first.replace(/\.ts$/, '') : first;
}

const rowOf = (room: string): number => ROWS.findIndex((row) => row.includes(room));

/** Rooms and files that report may stand on. */
const UNDER_REPORT = /^(report|results)\/|^(errors|config\/index|gpu\/category)\.ts$/;

/** One line for each import that points up, sideways, into Node from the core, or out of src/. */
export function violations(imports: readonly Import[]): string[] {
  return imports.flatMap((line) => {
    const { from, to } = line;
    if (!to.endsWith('.ts')) return nodeViolation(line);
    const [own, other] = [roomOf(from), roomOf(to)];
    const unknown = [own, other].filter((room) => rowOf(room) < 0);
    if (unknown.length > 0) return unknown.map((room) => `${from} -> ${to}: no room ${room} in ROWS`);
    const isFine = own === other || rowOf(other) < rowOf(own);
    if (!isFine) return [`${from} -> ${to}: ${own} may not import ${other}`];
    return own === 'report' && !UNDER_REPORT.test(to) ? [`${from} -> ${to}: report stands on results alone`] : [];
  });
}

function nodeViolation({ from, to }: Import): string[] {
  if (!NODE_ONLY.test(to) || NODE_ROOMS.includes(roomOf(from))) return [];
  return [`${from} -> ${to}: only the rooms ${NODE_ROOMS.join(', ')} may import Node`];
}

/** Cycles between files, types included; each as the list of its files. */
export function fileCycles(imports: readonly Import[]): string[][] {
  return cycles(imports.filter((i) => i.to.endsWith('.ts')).map((i) => [i.from, i.to] as const));
}

/** Cycles between rooms. Types count: a room that names another's types depends on it. */
export function roomCycles(imports: readonly Import[]): string[][] {
  const edges = imports.filter((i) => i.to.endsWith('.ts')).map((i) => [roomOf(i.from), roomOf(i.to)] as const);
  return cycles(edges.filter(([a, b]) => a !== b));
}

function cycles(edges: readonly (readonly [string, string])[]): string[][] {
  const next = new Map<string, Set<string>>();
  for (const [a, b] of edges) next.set(a, (next.get(a) ?? new Set()).add(b));
  const found: string[][] = [];
  const done = new Set<string>();
  const visit = (node: string, path: readonly string[]): void => {
    const at = path.indexOf(node);
    if (at >= 0) found.push(path.slice(at));
    if (at >= 0 || done.has(node)) return;
    for (const target of next.get(node) ?? []) visit(target, [...path, node]);
    done.add(node);
  };
  for (const node of next.keys()) visit(node, []);
  return found;
}
