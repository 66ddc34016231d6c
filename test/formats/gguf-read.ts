/** Reads what GGUF files of adapters hold, for tests. It shares no line with the writer. */
export type ReadGguf = {
  readonly metadata: Map<string, string | number>;
  readonly tensors: Map<string, { readonly type: 'F32' | 'F16'; readonly shape: number[]; readonly data: Uint8Array }>;
};

/** Takes strings, uint32 and float32 for metadata, F32 and F16 for tensors. */
export function readGguf(bytes: Uint8Array): ReadGguf {
  const file = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  const next = (count: number): Buffer => {
    at += count;
    return file.subarray(at - count, at);
  };
  const u32 = (): number => next(4).readUInt32LE();
  const u64 = (): number => Number(next(8).readBigUInt64LE());
  const text = (): string => next(u64()).toString('utf8');
  if (file.toString('latin1', 0, 4) !== 'GGUF' || file.readUInt32LE(4) !== 3) throw new Error('is no GGUF 3 file');
  at = 8;
  const [tensorCount, keyCount] = [u64(), u64()];
  const metadata = new Map<string, string | number>();
  for (let i = 0; i < keyCount; i++) {
    const key = text();
    const type = u32();
    if (type === 8) metadata.set(key, text());
    else if (type === 6) metadata.set(key, next(4).readFloatLE());
    else if (type === 4) metadata.set(key, u32());
    else throw new Error(`${key} has type ${type}`);
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: u32() }, u64).reverse();
    const type = (['F32', 'F16'] as const)[u32()];
    if (type === undefined) throw new Error(`${name} is of another type`);
    return { name, shape, type, offset: u64() };
  });
  const start = Math.ceil(at / 32) * 32;
  const tensors: ReadGguf['tensors'] = new Map();
  for (const { name, shape, type, offset } of infos) {
    const size = shape.reduce((n, s) => n * s, type === 'F32' ? 4 : 2);
    tensors.set(name, { type, shape, data: bytes.subarray(start + offset, start + offset + size) });
  }
  return { metadata, tensors };
}
