/** Files that are no lines of text: called by their names before a reader stumbles over them. */
import { DataError } from '../errors.ts';
import { ADVICE, kindOf } from '../formats/file-kind.ts';
import { type FileReader, place } from '../formats/reader.ts';

/** Bytes that are looked at: white space may stand in front of what an array begins with. */
const HEAD_BYTES = 4096;

/** @throws DataError naming the format of a file that is no text, or that holds rows in another way than line by line */
export async function requireText(reader: FileReader, path: string, type: 'jsonl' | 'text-chunks'): Promise<void> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, await reader.size(path)));
  await reader.read(path, 0, head);
  const found = kindOf(head);
  const refuse = (what: string): never => {
    throw new DataError(place(reader, path), what);
  };
  if (found !== null) refuse(`is ${found.name}, needs lines of UTF-8 text. ${ADVICE[found.holds]}`);
  if (type !== 'jsonl') return;
  const [first] = new TextDecoder().decode(head).trimStart();
  if (first === '[')
    refuse(`is a JSON array, needs JSONL: an object on each line. \`jq -c '.[]' FILE > rows.jsonl\` writes it so.`);
  if (/\.(csv|tsv)$/i.test(path) && first !== '{')
    refuse(`is a table of comma- or tab-separated values, needs JSONL. ${ADVICE.rows}`);
}
