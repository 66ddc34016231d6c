/** Golden vectors: packed and absmax were made by bitsandbytes, the nested part by its definition. */
import { describe, expect, test } from 'vitest';
import { dequantize4bit, narrow, quantize4bit, widen } from '../../src/wasm/buffers.ts';
import type { QuantSpec } from '../../src/wasm/types.ts';
import { codec, debugCodec, encode, sha256 } from './helpers.ts';

const NF4: QuantSpec = { quantType: 'nf4', blockSize: 64, doubleQuant: false };
const NESTED: QuantSpec = { ...NF4, doubleQuant: true };

const b1 = Float32Array.from({ length: 256 }, (_, i) => ((((i * 7919) % 1009) - 504) / 504) * 0.05);
const u = (i: number, a: number, c: number, m: number) => ((i * a + c) % m) / m;
const b2 = Float32Array.from(
  { length: 32768 },
  (_, i) => (u(i, 7919, 1, 100003) + u(i, 104729, 2, 100019) + u(i, 15485863, 3, 99991) - 1.5) * 0.04,
);

const B1_PACKED = '23e803ddfea924ea3bcc6d04301c9685ac684ad3183b000b231ba9bb48488908';
const B1_FIRST_BYTES = [14, 200, 82, 31, 218, 116, 16, 236];
// 0x1.99999ap-5 and so on: the hexadecimal digits as an integer, times their place
const B1_ABSMAX = {
  float32: [0x1_99_99_9a, 0x1_93_e9_3e, 0x1_92_49_24, 0x1_98_c9_8c].map((m) => m * 2 ** -29),
  bfloat16: [0x1_9a, 0x1_94, 0x1_92, 0x1_98].map((m) => m * 2 ** -13),
};

const B2 = {
  float32: {
    w: 'adba3f3f0aac8c1d92d3d7a4b9ce1410c816d6258acc94774ca655222481a4c3',
    packed: '43d64820d937658379271e345ca739b0cdaf391d69c4d32f919b4aeefc13285c',
    absmax: '8099724943b4d429e155d4efaeca48a653782ff5b56f5189bfa4a7a54b1fb862',
    offset: 0.042360320687294006,
    nestedAbsmax: [0.020766502246260643, 0.020976755768060684],
    codes: '8bba95c7ae2fedce2a562fd63e72977bb0872f2dc740bd40735bd0c7586980a0',
    firstCodes: [244, 224, 214, 210, 200, 190, 85, 175],
    dequantF32: '112fb9af526032b87a4770b32751dc3167896c81e8acd26daaa6f4d4dabb26fc',
    dequantBf16: 'abd6cf575e49a9c89898357553ce520894667eb93241557c486616ef2675044b',
    rmse: 0.00172092,
  },
  bfloat16: {
    w: '153e274e6c745285da690d036cb52a752118833452a06f17e5f73b101b52d85a',
    packed: '93987c202579685160c024d11216dcd860f37492ac67887df0c7c04da3d64179',
    absmax: 'd281e32355c0d98eb360541b0acc97b8492c1a325889fb7395064860dc5e02e5',
    offset: 0.04235672950744629,
    nestedAbsmax: [0.02075028419494629, 0.02099442481994629],
    codes: '90d622aa7890f6c1425ff230d9d1d33fbff601f1f1553bd670607f7da30a5b66',
    firstCodes: [244, 224, 214, 211, 201, 190, 84, 174],
    dequantF32: '1eff776a460b5674ea1ed2e9a21fdf7ed2c13253191f39f05de9fcbebd887dcb',
    dequantBf16: '237dd1ef9b365692a37d58d5a8552631cfca86e37981878caf3e094cd02902c5',
    rmse: 0.00172074,
  },
};

describe.each([
  ['release', codec],
  ['debug', debugCodec],
] as const)('%s build', (_build, wasm) => {
  test.each(['float32', 'bfloat16'] as const)('B1 from %s, packed and absmax to the bit', (dtype) => {
    const { packed, state } = quantize4bit(wasm, encode(b1, dtype), dtype, NF4);
    expect([...packed.subarray(0, 8)]).toEqual(B1_FIRST_BYTES);
    expect(sha256(packed)).toBe(B1_PACKED);
    if (state.nested) throw new Error('B1 is not nested');
    expect([...state.absmax]).toEqual(B1_ABSMAX[dtype]);
  });

  test.each(['float32', 'bfloat16'] as const)('B2 from %s, every part to the bit', (dtype) => {
    const golden = B2[dtype];
    const raw = dtype === 'float32' ? encode(b2, dtype) : narrow(wasm, b2, dtype);
    const w = dtype === 'float32' ? b2 : widen(wasm, raw, dtype);
    expect(sha256(w)).toBe(golden.w);

    const plain = quantize4bit(wasm, raw, dtype, NF4);
    expect(sha256(plain.packed)).toBe(golden.packed);
    if (plain.state.nested) throw new Error('asked for a plain state');
    expect(sha256(plain.state.absmax)).toBe(golden.absmax);

    const nested = quantize4bit(wasm, raw, dtype, NESTED);
    expect(sha256(nested.packed)).toBe(golden.packed);
    if (!nested.state.nested) throw new Error('asked for a nested state');
    expect(nested.state.offset).toBe(golden.offset);
    expect([...nested.state.nestedAbsmax]).toEqual(golden.nestedAbsmax);
    expect([...nested.state.codes.subarray(0, 8)]).toEqual(golden.firstCodes);
    expect(sha256(nested.state.codes)).toBe(golden.codes);

    const back = dequantize4bit(wasm, nested, b2.length, NESTED, 'float32');
    expect(sha256(back)).toBe(golden.dequantF32);
    expect(sha256(dequantize4bit(wasm, nested, b2.length, NESTED, 'bfloat16'))).toBe(golden.dequantBf16);
    const values = new Float32Array(back.buffer);
    const squares = values.reduce((sum, v, i) => sum + (v - w[i]!) ** 2, 0);
    // the golden figure has eight decimals
    expect(Math.abs(Math.sqrt(squares / values.length) - golden.rmse)).toBeLessThan(5e-9);
  });
});
