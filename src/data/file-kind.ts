/** Files that are no lines of text: called by their names before a reader stumbles over them. */
import { DataError } from '../errors.ts';
import { type FileReader, place } from '../formats/reader.ts';

type Kind = { readonly name: string; readonly starts: readonly (readonly number[])[]; readonly advice: string };

const ascii = (text: string): number[] => [...new TextEncoder().encode(text)];
const FROM_DATASETS = 'Write it as JSONL, a row on each line: datasets.Dataset.to_json(FILE) does.';
const UNPACK = 'Unpack it first.';

const KINDS: readonly Kind[] = [
  { name: 'a Parquet file', starts: [ascii('PAR1')], advice: FROM_DATASETS },
  { name: 'an Arrow file', starts: [ascii('ARROW1'), [0xff, 0xff, 0xff, 0xff]], advice: FROM_DATASETS },
  { name: 'compressed by gzip', starts: [[0x1f, 0x8b]], advice: UNPACK },
  { name: 'compressed by zstd', starts: [[0x28, 0xb5, 0x2f, 0xfd]], advice: UNPACK },
  { name: 'a zip archive', starts: [ascii('PK\u0003\u0004')], advice: UNPACK },
  {
    name: 'UTF-16 text',
    starts: [
      [0xff, 0xfe],
      [0xfe, 0xff],
    ],
    advice: 'Save it as UTF-8.',
  },
];

/** Bytes that are looked at: white space may stand in front of what an array begins with. */
const HEAD_BYTES = 4096;

/** @throws DataError naming the format of a file that is no text, or that holds rows in another way than line by line */
export async function requireText(reader: FileReader, path: string, type: 'jsonl' | 'text-chunks'): Promise<void> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, await reader.size(path)));
  await reader.read(path, 0, head);
  const found = KINDS.find(({ starts }) => starts.some((start) => start.every((byte, i) => head[i] === byte)));
  const refuse = (what: string): never => {
    throw new DataError(place(reader, path), what);
  };
  if (found !== undefined) refuse(`is ${found.name}, needs lines of UTF-8 text. ${found.advice}`);
  if (type !== 'jsonl') return;
  const [first] = new TextDecoder().decode(head).trimStart();
  if (first === '[')
    refuse(`is a JSON array, needs JSONL: an object on each line. \`jq -c '.[]' FILE > rows.jsonl\` writes it so.`);
  if (/\.(csv|tsv)$/i.test(path) && first !== '{')
    refuse(`is a table of comma- or tab-separated values, needs JSONL. ${FROM_DATASETS}`);
}
