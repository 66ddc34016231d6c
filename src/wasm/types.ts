/** Types of 4-bit quantization, shared by the WASM codec and its callers. */

/** Float types that the codec reads and writes, by PyTorch's names. */
export type SourceDtype = 'float32' | 'float16' | 'bfloat16';

/** 4-bit types that bitsandbytes' checkpoints hold. */
export const CHECKPOINT_QUANT_TYPES = ['nf4', 'fp4'] as const;

export type CheckpointQuantType = (typeof CHECKPOINT_QUANT_TYPES)[number];

/** 4-bit types that a base can be quantized to. int4, symmetric with seven levels a side, is nibble's own and for comparing. */
export type QuantType = CheckpointQuantType | 'int4';

/** Block sizes that bitsandbytes' format allows. */
export const BLOCK_SIZES = [32, 64, 128, 256, 512, 1024, 2048, 4096] as const;

/** Block size of the second level of double quantization, the only one in bitsandbytes' CUDA kernels. */
export const NESTED_BLOCK_SIZE = 256;

export type QuantSpec = {
  readonly quantType: QuantType;
  /** one of BLOCK_SIZES; blocks run over the flat, row-major index */
  readonly blockSize: number;
  /** absmax is itself quantized to 8 bits in blocks of 256 around its mean */
  readonly doubleQuant: boolean;
};

/** What is needed besides the packed nibbles to decode a tensor. */
export type QuantState =
  | { readonly nested: false; readonly packedBytes: number; readonly absmax: Float32Array<ArrayBuffer> }
  | {
      readonly nested: true;
      readonly packedBytes: number;
      /** absmax[i] = dynamicCode[codes[i]] * nestedAbsmax[i / 256] + offset, two f32 roundings */
      readonly codes: Uint8Array<ArrayBuffer>;
      readonly nestedAbsmax: Float32Array<ArrayBuffer>;
      /** an f32 value */
      readonly offset: number;
      /** DYNAMIC_CODE for what is quantized here; a checkpoint brings its own */
      readonly dynamicCode: Float32Array<ArrayBuffer>;
    };

/** Reads `into.byteLength` bytes of a tensor's raw little-endian data, starting at byteOffset. */
export type SlabReader = (byteOffset: number, into: Uint8Array<ArrayBuffer>) => Promise<void>;

export type QuantizeArgs = {
  /** named in errors */
  readonly name: string;
  readonly elements: number;
  readonly dtype: SourceDtype;
  readonly spec: QuantSpec;
  /** called for ascending, adjacent ranges; two or more calls may be under way at once */
  readonly read: SlabReader;
  /** receives the packed bytes in order; the view is valid only during the call */
  readonly onPacked: (byteOffset: number, packed: Uint8Array<ArrayBuffer>) => void;
  /** Receives weights and codes in order, before `onPacked`; elements count from `first`, and views are valid during the call. */
  readonly onSlab?: (first: number, source: Uint8Array<ArrayBuffer>, packed: Uint8Array<ArrayBuffer>) => void;
};

export interface Quantizer {
  /**
   * Quantizes a tensor of any size, slab by slab: memory stays bounded, nibbles leave through `onPacked`, the state
   * comes at the end. A call that is made while another runs begins once that one has begun its last slab.
   * @throws DataError when an element is NaN or infinite, naming the tensor and the flat index; some nibbles may
   * have been handed out by then. Whatever `read` or `onPacked` throws passes through.
   */
  quantize4bit(args: QuantizeArgs): Promise<QuantState>;
  /** Seconds that all threads together spent quantizing since it was made; failed calls are left out. */
  readonly busySeconds: number;
  close(): Promise<void>;
}

/** Size of an element, and the bits of its exponent and of its mantissa. An exponent of all ones means NaN or infinite. */
export const FLOAT_LAYOUT: Readonly<Record<SourceDtype, { bytes: 2 | 4; exponent: number; mantissa: number }>> = {
  float32: { bytes: 4, exponent: 0x7f800000, mantissa: 0x7fffff },
  float16: { bytes: 2, exponent: 0x7c00, mantissa: 0x3ff },
  bfloat16: { bytes: 2, exponent: 0x7f80, mantissa: 0x7f },
};

/** Gives the size of an element in bytes. */
export function bytesPerElement(dtype: SourceDtype): 2 | 4 {
  return FLOAT_LAYOUT[dtype].bytes;
}
