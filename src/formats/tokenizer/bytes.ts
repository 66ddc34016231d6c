/** The byte-level alphabet of GPT-2: a printable character for each byte. */

const encoder = new TextEncoder();

/** Printable bytes stand for themselves, the others for U+0100 and up, in order. */
const CHAR_OF_BYTE: readonly string[] = (() => {
  const printable = (byte: number): boolean =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
})();

const BYTE_OF_CHAR: ReadonlyMap<string, number> = new Map(CHAR_OF_BYTE.map((char, byte) => [char, byte]));

/** Text as the characters of its UTF-8 bytes. */
export function toByteChars(text: string): string {
  if (/^[!-~]*$/.test(text)) return text;
  let out = '';
  for (const byte of encoder.encode(text)) out += CHAR_OF_BYTE[byte];
  return out;
}

/** The bytes that a token's characters stand for; the token's own UTF-8 where one of them stands for none. */
export function bytesOfToken(token: string): readonly number[] {
  const bytes = Array.from(token, (char) => BYTE_OF_CHAR.get(char));
  return bytes.includes(undefined) ? [...encoder.encode(token)] : (bytes as number[]);
}
