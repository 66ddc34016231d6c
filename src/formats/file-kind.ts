/** Names formats by the first bytes of a file, so that a message can say what a file is instead of what it is not. */

export type FileKind = {
  /** With an article, or as what follows "is": "a Parquet file", "compressed by gzip". */
  readonly name: string;
  readonly holds: 'rows' | 'packed' | 'utf-16' | 'weights' | 'pointer' | 'page';
};

type Signature = FileKind & { readonly starts: readonly (readonly number[])[] };

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];

const SIGNATURES: readonly Signature[] = [
  { name: 'a Parquet file', holds: 'rows', starts: [ascii('PAR1')] },
  { name: 'an Arrow file', holds: 'rows', starts: [ascii('ARROW1'), [0xff, 0xff, 0xff, 0xff]] },
  { name: 'compressed by gzip', holds: 'packed', starts: [[0x1f, 0x8b]] },
  { name: 'compressed by bzip2', holds: 'packed', starts: [ascii('BZh')] },
  { name: 'compressed by xz', holds: 'packed', starts: [[0xfd, 0x37, 0x7a, 0x58, 0x5a]] },
  { name: 'compressed by zstd', holds: 'packed', starts: [[0x28, 0xb5, 0x2f, 0xfd]] },
  { name: 'a zip archive', holds: 'packed', starts: [ascii('PK\u0003\u0004')] },
  {
    name: 'UTF-16 text',
    holds: 'utf-16',
    starts: [
      [0xff, 0xfe],
      [0xfe, 0xff],
    ],
  },
  { name: 'a GGUF file', holds: 'weights', starts: [ascii('GGUF')] },
  { name: 'a pointer of Git LFS', holds: 'pointer', starts: [ascii('version https://git-lfs.github.com/')] },
  { name: 'a web page', holds: 'page', starts: [ascii('<!DOCTYPE'), ascii('<!doctype'), ascii('<html')] },
];

/** Bytes of an Arrow stream's mark and first length, and of a safetensors header's length. */
const LENGTH_END = 8;

/** What to do with a file of that kind where another was expected. */
export const ADVICE: Readonly<Record<FileKind['holds'], string>> = {
  rows: 'Write it as JSONL, a row on each line: datasets.Dataset.to_json(FILE) does.',
  packed: 'Unpack it first.',
  'utf-16': 'Save it as UTF-8.',
  weights: 'Fetch the safetensors files of the model.',
  pointer: 'Fetch the file itself: `git lfs pull`.',
  page: 'Fetch the file itself: a page came in its place.',
};

/** Recognizes a file by its first bytes; null for what may be text or safetensors. */
export function kindOf(head: Uint8Array): FileKind | null {
  // an Arrow stream goes on with the length of its first message, which is not -1
  if (head.length >= LENGTH_END && head.subarray(0, LENGTH_END).every((byte) => byte === 0xff)) return null;
  return SIGNATURES.find(({ starts }) => starts.some((start) => start.every((byte, i) => head[i] === byte))) ?? null;
}

/** Characters of a text that suffice to recognize it. */
const HEAD_CHARACTERS = 64;

/** Says what a text is, and what to do, where it is none of JSON; null where nothing is known about it. */
export function foreignText(text: string): string | null {
  const kind = kindOf(new TextEncoder().encode(text.slice(0, HEAD_CHARACTERS)));
  return kind === null ? null : `is ${kind.name}. ${ADVICE[kind.holds]}`;
}
