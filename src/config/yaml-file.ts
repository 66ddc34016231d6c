/** Reads a YAML file as a plain value that still knows the line of each of its parts. */
import {
  type Document,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type Pair,
  parseDocument,
  visit,
  type YAMLMap,
} from 'yaml';
import type { ConfigProblem } from '../errors.ts';
import { isTooDeep, MOST_LEVELS } from './depth.ts';
import { depthProblem } from './yaml-depth.ts';

/** A file already read: `path` is only shown in messages. */
export type SourceFile = { readonly path: string; readonly text: string };

export type YamlFile = {
  /** The root mapping; empty when the file is empty or has problems. */
  readonly root: Readonly<Record<string, unknown>>;
  readonly problems: readonly ConfigProblem[];
  /** "file:line" of a part of the file, or of the nearest part around it. */
  place(path: readonly PropertyKey[]): string;
};

/** Bytes of a configuration, whose parser takes seconds for some millions; a dataset given by mistake has more. */
export const MOST_CONFIG_BYTES = 2 ** 19;

/** Says that a file is too large to be a configuration; null where it is not. `size` in bytes, or characters. */
export function sizeProblem(size: number): string | null {
  if (size <= MOST_CONFIG_BYTES) return null;
  return `is too large for a configuration: ${size} bytes, wanted at most ${MOST_CONFIG_BYTES}. Is it the right file?`;
}

/** Parses YAML 1.2 (and so JSON); syntax errors and duplicate keys come back as problems with their lines. */
export function readYaml(file: SourceFile): YamlFile {
  const size = sizeProblem(file.text.length);
  const unread = size === null ? depthProblem(file.path, file.text) : `${file.path} ${size}`;
  if (unread !== null) return { root: {}, problems: [{ path: '', message: unread }], place: () => file.path };
  const lines = new LineCounter();
  // the library compares each key with all others, which takes minutes where there are many
  const doc = parseDocument(file.text, { lineCounter: lines, prettyErrors: false, uniqueKeys: false });
  const at = (offset: number) => `${file.path}:${lines.linePos(offset).line}`;
  const pairOf = pairFinder();
  const place = (path: readonly PropertyKey[]) => at(offsetOf(doc, path, pairOf));
  const failed = (problems: readonly ConfigProblem[]): YamlFile => ({ root: {}, problems, place });

  if (doc.errors.length > 0)
    return failed(
      doc.errors.map((error) => ({ path: '', message: `not valid YAML: ${error.message} (${at(error.pos[0])})` })),
    );
  const tagged = foreignTags(doc);
  if (tagged.length > 0)
    return failed(
      tagged.map(({ tag, offset }) => ({
        path: '',
        message: `the tag ${tag} makes ${tag === '!function' ? 'a Python function of' : 'something else of'} what follows, which nibble does not do; write the value itself (${at(offset)})`,
      })),
    );
  let root: unknown;
  try {
    const twice = duplicateKeys(doc);
    if (twice.length > 0)
      return failed(
        twice.map(({ key, offset }) => ({
          path: '',
          message: `${key} stands twice; keep one of the two (${at(offset)})`,
        })),
      );
    root = doc.toJS() ?? {};
  } catch (error) {
    // here the library notices aliases that unfold into far more than the file holds
    return failed([{ path: '', message: `not usable YAML: ${(error as Error).message} (${at(0)})` }]);
  }
  if (isTooDeep(root))
    return failed([
      { path: '', message: `an anchor stands inside itself, or deeper than ${MOST_LEVELS} levels (${at(0)})` },
    ]);
  if (typeof root !== 'object' || Array.isArray(root))
    return failed([{ path: '', message: `the file holds no mapping, wanted lines of "key: value" (${at(0)})` }]);
  return { root: root as Record<string, unknown>, problems: [], place };
}

/** Tags of values that YAML itself does not define, such as lm-eval's !function. */
function foreignTags(doc: Document.Parsed): { readonly tag: string; readonly offset: number }[] {
  const found: { tag: string; offset: number }[] = [];
  visit(doc, {
    Node: (_, node) => {
      const { tag } = node as { readonly tag?: string };
      if (isNode(node) && tag !== undefined && !tag.startsWith('tag:yaml.org,2002:') && tag !== '!')
        found.push({ tag, offset: node.range?.[0] ?? 0 });
    },
  });
  return found;
}

/** Finds every key that its mapping has had before. */
function duplicateKeys(doc: Document.Parsed): { readonly key: string; readonly offset: number }[] {
  const found: { key: string; offset: number }[] = [];
  visit(doc, {
    Map: (_, map) => {
      const seen = new Set<unknown>();
      for (const { key } of map.items) {
        if (!isScalar(key)) continue;
        if (seen.has(key.value)) found.push({ key: String(key.value), offset: key.range?.[0] ?? 0 });
        seen.add(key.value);
      }
    },
  });
  return found;
}

type FindPair = (map: YAMLMap, key: string) => Pair | undefined;

/** Finds pairs of mappings by their key; each mapping is looked through once, however many of its parts are asked for. */
function pairFinder(): FindPair {
  const known = new Map<YAMLMap, ReadonlyMap<string, Pair>>();
  return (map, key) => {
    let pairs = known.get(map);
    if (pairs === undefined) {
      pairs = new Map(map.items.flatMap((pair) => (isScalar(pair.key) ? [[String(pair.key.value), pair]] : [])));
      known.set(map, pairs);
    }
    return pairs.get(key);
  };
}

function offsetOf(doc: Document.Parsed, path: readonly PropertyKey[], pairOf: FindPair): number {
  let offset = doc.contents?.range?.[0] ?? 0;
  let node: unknown = doc.contents;
  for (const part of path) {
    if (isMap(node)) {
      const pair = pairOf(node, String(part));
      if (pair === undefined) break;
      if (isScalar(pair.key)) offset = pair.key.range?.[0] ?? offset;
      node = pair.value;
    } else if (isSeq(node)) {
      node = node.items[Number(part)];
      offset = (node as { range?: [number, number, number] } | undefined)?.range?.[0] ?? offset;
    }
  }
  return offset;
}
