/** Files of bytes: texts with damaged places, and safetensors with a header that may lie. */
import fc from 'fast-check';
import { anyValue, asText, type Json } from './values.ts';

type Damage = { readonly at: number; readonly what: number; readonly bytes: Uint8Array };

const damage: fc.Arbitrary<Damage> = fc.record({
  at: fc.nat(1e6),
  what: fc.nat(4),
  bytes: fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 6 }),
    fc
      .constantFrom('[', '{', '}', '"', ',', ':', '\n', '\r\n', '\u0000', '\ufeff', '1e999', '&a *a', '  ')
      .map((text) => new TextEncoder().encode(text)),
  ),
});

function damaged(file: Uint8Array, { at, what, bytes }: Damage): Uint8Array {
  const place = file.length === 0 ? 0 : at % file.length;
  const [head, tail] = [file.subarray(0, place), file.subarray(place)];
  if (what === 0) return Buffer.concat([head, bytes, tail]);
  if (what === 1) return Buffer.concat([head, bytes, tail.subarray(bytes.length)]);
  if (what === 2) return Buffer.concat([head, tail.subarray(bytes.length)]);
  if (what === 3) return Buffer.from(head);
  return Buffer.concat([head, tail, file.subarray(0, bytes.length)]);
}

/** A file as it is (mostly), or with up to three damaged places. */
export function damagedFile(file: Uint8Array): fc.Arbitrary<Uint8Array> {
  const changes = fc.oneof(
    { weight: 3, arbitrary: fc.constant([]) },
    { weight: 1, arbitrary: fc.array(damage, { maxLength: 3 }) },
  );
  return changes.map((list: readonly Damage[]) => list.reduce(damaged, file));
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

/** Splits a safetensors file into its header and its data. */
export function partsOf(file: Uint8Array): { readonly header: Json; readonly data: Uint8Array } {
  const start = 8 + Number(new DataView(file.buffer, file.byteOffset).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(file.subarray(8, start))) as Json;
  return { header, data: file.subarray(start) };
}

/** Puts a safetensors file together, whatever its header says. */
export function safetensorsOf(header: Json, data: Uint8Array): Uint8Array {
  const text = bytesOf(asText(header));
  const length = new Uint8Array(8);
  new DataView(length.buffer).setBigUint64(0, BigInt(text.length), true);
  return Buffer.concat([length, text, data]);
}

/** A few elements of the data overwritten, with NaN and infinities among them. */
export function damagedData(data: Uint8Array): fc.Arbitrary<Uint8Array> {
  const patterns = fc.constantFrom<readonly number[]>(
    [0, 0, 0xc0, 0x7f],
    [0, 0, 0x80, 0xff],
    [0xff, 0xff, 0xff, 0xff],
    [0, 0],
  );
  const write = fc.record({ at: fc.nat(1e6), pattern: patterns });
  return fc.array(write, { maxLength: 3 }).map((writes) => {
    const copy = Uint8Array.from(data);
    for (const { at, pattern } of writes) copy.set(pattern, (at % Math.max(1, copy.length - 4)) & ~3);
    return copy;
  });
}

export { anyValue };
