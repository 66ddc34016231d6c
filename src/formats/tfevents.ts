/**
 * TensorBoard's event files: records of TFRecord, each an Event of tensorflow/core/util/event.proto. What is written is what
 * torch.utils.tensorboard writes for add_scalar, add_text and purge_step.
 */

/** What every file begins with, so that readers know how it is framed and purged. */
const FILE_VERSION = 'brain.Event:2';

/** Reflected polynomial of CRC-32C (Castagnoli). */
const CRC32C = 0x82f63b78;
const TABLE = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte;
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ CRC32C : crc >>> 1;
  return crc;
});
/** TFRecord rotates a checksum and adds this, since checksums of data that hold checksums are weak. */
const MASK_DELTA = 0xa282ead8;

function maskedCrc(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) crc = (TABLE[(crc ^ byte) & 0xff] as number) ^ (crc >>> 8);
  crc = ~crc >>> 0;
  return (((crc >>> 15) | (crc << 17)) + MASK_DELTA) >>> 0;
}

/** Frames a record: its length (u64), the checksum of that, its bytes, and theirs. */
function framed(data: Uint8Array): Uint8Array {
  const record = new Uint8Array(8 + 4 + data.byteLength + 4);
  const view = new DataView(record.buffer);
  view.setBigUint64(0, BigInt(data.byteLength), true);
  view.setUint32(8, maskedCrc(record.subarray(0, 8)), true);
  record.set(data, 12);
  view.setUint32(12 + data.byteLength, maskedCrc(data), true);
  return record;
}

/** Wire types of protobuf. */
const [VARINT, FIXED64, BYTES, FIXED32] = [0, 1, 2, 5] as const;
const UTF8 = new TextEncoder();

function varint(value: number): number[] {
  const bytes: number[] = [];
  let left = BigInt(value);
  for (; left > 127n; left >>= 7n) bytes.push(Number(left & 127n) | 128);
  return [...bytes, Number(left)];
}

const key = (field: number, wire: number): number[] => varint((field << 3) | wire);
const integer = (field: number, value: number): number[] => [...key(field, VARINT), ...varint(value)];
const float = (field: number, value: number): number[] => [
  ...key(field, FIXED32),
  ...new Uint8Array(Float32Array.of(value).buffer),
];
const double = (field: number, value: number): number[] => [
  ...key(field, FIXED64),
  ...new Uint8Array(Float64Array.of(value).buffer),
];

/** A field with bytes in it: a text, or a message. */
function block(field: number, content: string | readonly number[]): number[] {
  const bytes = typeof content === 'string' ? UTF8.encode(content) : content;
  const out = [...key(field, BYTES), ...varint(bytes.length)];
  for (const byte of bytes) out.push(byte);
  return out;
}

/** Event: wall_time = 1, step = 2, and what happened. @param seconds since 1970 */
function event(seconds: number, step: number, what: readonly number[]): Uint8Array {
  return framed(Uint8Array.from([...double(1, seconds), ...(step === 0 ? [] : integer(2, step)), ...what]));
}

/** The first record of a file (Event.file_version = 3). */
export function fileVersionEvent(seconds: number): Uint8Array {
  return event(seconds, 0, block(3, FILE_VERSION));
}

/** A restart (Event.session_log = 7, status START = 1): readers drop what files before this one have from `step` on. */
export function restartEvent(seconds: number, step: number): Uint8Array {
  return event(seconds, step, block(7, integer(1, 1)));
}

/** Scalars of one step (Event.summary = 5, a Value each: tag = 1, simple_value = 2), rounded to float32. */
export function scalarsEvent(seconds: number, step: number, values: ReadonlyMap<string, number>): Uint8Array {
  const summary = [...values].flatMap(([tag, value]) => block(1, [...block(1, tag), ...float(2, value)]));
  return event(seconds, step, block(5, summary));
}

const DT_STRING = 7;
/** Field by which the text plugin finds its summaries. */
const TEXT_PLUGIN = block(9, block(1, block(1, 'text')));

/** A text, shown as Markdown: a tensor (Value.tensor = 8) of one string under TAG/text_summary. */
export function textEvent(seconds: number, tag: string, text: string): Uint8Array {
  const shape = block(2, block(2, integer(1, 1)));
  const tensor = block(8, [...integer(1, DT_STRING), ...shape, ...block(8, text)]);
  return event(seconds, 0, block(5, block(1, [...block(1, `${tag}/text_summary`), ...tensor, ...TEXT_PLUGIN])));
}
