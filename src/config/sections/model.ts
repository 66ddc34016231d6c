/** Settings: the model and where a run goes. */
import { z } from 'zod';
import { sizeType } from '../bytes.ts';
import { computeDtype, text } from './types.ts';

export const model = {
  model_name_or_path: text.describe(
    'directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub: ORG/NAME',
  ),
  model_revision: text.default('main').describe('branch, tag or commit of a model that comes from the hub'),
  offline: z
    .boolean()
    .default(false)
    .describe('take what comes from the hub from its cache alone; HF_HUB_OFFLINE=1 does the same'),
  output_dir: text
    .default('trainer_output')
    .describe(
      'folder the run writes; it must be empty or new, unless resume_from_checkpoint goes on with the run in it',
    ),
  method: z
    .enum(['lora', 'qlora', 'full'])
    .default('lora')
    .describe('what is trained: adapters on a 16-bit base, adapters on a 4-bit base, or every weight'),
  dtype: z
    .enum(['auto', 'float32', 'float16', 'bfloat16'])
    .default('auto')
    .describe("how the base weights are stored on the GPU; auto keeps the checkpoint's own"),
  compute_dtype: computeDtype
    .default('float32')
    .describe('dtype of the matrix products, for every method; bnb_4bit_compute_dtype is its other spelling'),
  bf16: z
    .union([z.boolean(), z.literal('auto'), z.null()])
    .default(false)
    .describe("Hugging Face's mixed precision: computed as bf16_as says, since WebGPU has no bfloat16"),
  fp16: z
    .boolean()
    .nullable()
    .default(false)
    .describe("Hugging Face's mixed precision: float16 with a loss scale, or float32 where the device has no float16"),
  bf16_as: z
    .enum(['float32', 'float16'])
    .nullable()
    .default(null)
    .describe(
      'what to compute in where bfloat16, bf16 or fp16 is asked for; null takes float16 with a loss scale where the device ' +
        'has it, else float32',
    ),
  matmul_tier: z
    .enum(['auto', 'direct', 'simt', 'subgroup_matrix'])
    .default('auto')
    .describe(
      'kernels of the matrix products; auto takes the best the device has, another is an error where it has it not',
    ),
  max_gpu_memory: sizeType
    .nullable()
    .default(null)
    .describe(
      'bytes, or a size such as 40GB or 40GiB, that a run may need of the GPU: one whose plan needs more is refused before ' +
        'anything is allocated; null takes what the driver says is free, where it says so',
    ),
};
