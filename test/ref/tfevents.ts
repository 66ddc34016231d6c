/** Reads TensorBoard's event files by the formats' own definitions, checksums included; shares nothing with the writer. */

/** CRC-32C bit by bit, in 33-bit numbers. */
export function crc32c(bytes: Uint8Array): number {
  let crc = 0xffffffffn;
  for (const byte of bytes) {
    crc ^= BigInt(byte);
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1n) ^ (crc % 2n === 1n ? 0x82f63b78n : 0n);
  }
  return Number(crc ^ 0xffffffffn);
}

function unmasked(masked: number): number {
  const rotated = (BigInt(masked) - 0xa282ead8n + 2n ** 32n) % 2n ** 32n;
  return Number(((rotated << 15n) | (rotated >> 17n)) % 2n ** 32n);
}

/** Splits a file into its records. @throws Error for one that is cut, or whose checksum does not hold */
export function records(file: Uint8Array): Uint8Array[] {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength);
  const found: Uint8Array[] = [];
  for (let at = 0; at < file.byteLength; ) {
    const length = Number(view.getBigUint64(at, true));
    const data = file.subarray(at + 12, at + 12 + length);
    if (unmasked(view.getUint32(at + 8, true)) !== crc32c(file.subarray(at, at + 8)))
      throw new Error(`length at ${at}: checksum`);
    if (unmasked(view.getUint32(at + 12 + length, true)) !== crc32c(data)) throw new Error(`data at ${at}: checksum`);
    found.push(data);
    at += 12 + length + 4;
  }
  return found;
}

/** A message of protobuf: its fields in order, numbers as they are on the wire. */
export type Field = { readonly number: number; readonly value: bigint | Uint8Array };

export function fieldsOf(message: Uint8Array): Field[] {
  const found: Field[] = [];
  let at = 0;
  const varint = (): bigint => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++] as number;
      value += BigInt(byte % 128) << shift;
      if (byte < 128) return value;
    }
  };
  while (at < message.byteLength) {
    const key = Number(varint());
    const number = Math.floor(key / 8);
    const wire = key % 8;
    if (wire === 0) found.push({ number, value: varint() });
    else {
      const length = wire === 1 ? 8 : wire === 5 ? 4 : Number(varint());
      found.push({ number, value: message.subarray(at, at + length) });
      at += length;
    }
  }
  return found;
}

const text = (value: Field['value'] | undefined): string => new TextDecoder().decode(value as Uint8Array);
const of = (fields: readonly Field[], number: number): Field['value'] | undefined =>
  fields.find((field) => field.number === number)?.value;

export type EventRead = {
  readonly seconds: number;
  readonly step: number;
  readonly version?: string;
  /** Status of a session: 1 is a start. */
  readonly session?: number;
  readonly scalars: Readonly<Record<string, number>>;
  readonly texts: Readonly<Record<string, string>>;
};

const floatOf = (value: Uint8Array): number => new DataView(value.buffer, value.byteOffset, 4).getFloat32(0, true);

export function readEvents(file: Uint8Array): EventRead[] {
  return records(file).map((record) => {
    const fields = fieldsOf(record);
    const time = of(fields, 1) as Uint8Array;
    const scalars: Record<string, number> = {};
    const texts: Record<string, string> = {};
    for (const { value } of fieldsOf((of(fields, 5) as Uint8Array | undefined) ?? new Uint8Array())) {
      const parts = fieldsOf(value as Uint8Array);
      const tag = text(of(parts, 1));
      const scalar = of(parts, 2);
      if (scalar !== undefined) scalars[tag] = floatOf(scalar as Uint8Array);
      else texts[tag] = text(of(fieldsOf(of(parts, 8) as Uint8Array), 8));
    }
    const version = of(fields, 3);
    const session = of(fields, 7);
    return {
      seconds: new DataView(time.buffer, time.byteOffset, 8).getFloat64(0, true),
      step: Number(of(fields, 2) ?? 0n),
      ...(version === undefined ? {} : { version: text(version) }),
      ...(session === undefined ? {} : { session: Number(of(fieldsOf(session as Uint8Array), 1)) }),
      scalars,
      texts,
    };
  });
}
