import { describe, expect, it } from 'vitest';
import { DTYPE_BYTES, floatType, isDtype, isFloatDtype, isTorchFloat, TORCH_FLOATS } from '../../src/formats/dtype.ts';
import { bytesOf } from '../../src/gpu/tensor.ts';
import { bytesPerElement } from '../../src/wasm/types.ts';

describe('float types', () => {
  it('are found by every name, and always as the same row', () => {
    expect(TORCH_FLOATS).toEqual(['float32', 'float16', 'bfloat16']);
    for (const name of TORCH_FLOATS) {
      const row = floatType(name);
      expect(row.torch).toBe(name);
      expect(floatType(row.safetensors)).toBe(row);
      expect(floatType(row.gpu)).toBe(row);
    }
  });

  it('have one size in files, in the codec and in GPU memory', () => {
    for (const name of TORCH_FLOATS) {
      const { bytes, safetensors, gpu } = floatType(name);
      expect([DTYPE_BYTES[safetensors], bytesPerElement(name), bytesOf(gpu, 1)]).toEqual([bytes, bytes, bytes]);
    }
  });

  it('are told apart from other types, and names of one kind from those of another', () => {
    expect(['F32', 'F16', 'BF16', 'F64', 'U8'].filter((name) => isDtype(name) && isFloatDtype(name))).toEqual([
      'F32',
      'F16',
      'BF16',
    ]);
    expect(['float32', 'F32', 'f32', 'uint8', null].filter(isTorchFloat)).toEqual(['float32']);
    expect(() => floatType('u8' as 'f32')).toThrow('u8 is no float type');
  });
});
