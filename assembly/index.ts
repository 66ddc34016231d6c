// nibble's quantizer: pure functions over pointers into linear memory. The caller lays the memory out, from
// heapBase() on; nothing here allocates, imports or grows.
import { DYNAMIC_CODE, FP4_CODE, GIVEN_CODE, INT4_CODE, NF4_CODE, buildTables } from "./tables";

export { quantize4bit } from "./quantize4";
export { dequantize4bit } from "./dequantize4";
export { dequantizeDynamic8bit, quantizeDynamic8bit, sumF32 } from "./dynamic8";
export { narrow, widen } from "./convert";
export { updateRow } from "./update";

/** Address of the first byte after the tables. */
export function heapBase(): usize {
  return __heap_base;
}

/** Address of the NF4 values, f32[16]. */
export function nf4Code(): usize {
  return NF4_CODE;
}

/** Address of the FP4 values, f32[16]. */
export function fp4Code(): usize {
  return FP4_CODE;
}

/** Address of the INT4 values, f32[16]. */
export function int4Code(): usize {
  return INT4_CODE;
}

/** Address of the dynamic 8-bit map, f32[256]. */
export function dynamicCode(): usize {
  return DYNAMIC_CODE;
}

/** Address of f32[256] for the host to fill: a map to decode with instead of the dynamic one. */
export function givenCode(): usize {
  return GIVEN_CODE;
}

buildTables();
