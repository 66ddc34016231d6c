/** Settings: how the base of a QLoRA run is quantized. */
import { z } from 'zod';
import { computeDtype, text } from './types.ts';

export const quantization = {
  load_in_4bit: z.boolean().default(false).describe('true is the same as method: qlora'),
  bnb_4bit_quant_type: z
    .enum(['nf4', 'fp4', 'int4'])
    .default('nf4')
    .describe('4-bit code of the base weights; int4, symmetric, is for comparing and in no checkpoint'),
  bnb_4bit_use_double_quant: z.boolean().default(false).describe('quantize the block scales as well, to 8 bits'),
  bnb_4bit_compute_dtype: computeDtype
    .default('float32')
    .describe("Hugging Face's spelling of compute_dtype; the two are always equal"),
  bnb_4bit_quant_storage: z.literal('uint8').default('uint8').describe('dtype the packed nibbles are stored as'),
  bnb_4bit_blocksize: z
    .union([32, 64, 128, 256, 512, 1024, 2048, 4096].map((size) => z.literal(size)))
    .default(64)
    .describe('weights that share one scale'),
  measure_quantization_error: z
    .boolean()
    .default(false)
    .describe('measure RMSE and cosine of every weight that is quantized, for the record; a pass over the base'),
  llm_int8_skip_modules: z
    .array(text)
    .nullable()
    .default(null)
    .describe('modules kept out of quantization; null keeps lm_head and the embedding'),
};
