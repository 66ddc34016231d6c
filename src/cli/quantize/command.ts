/** nibble quantize: writes a 4-bit checkpoint that transformers and bitsandbytes load. */
import type { Command } from 'commander';
import type { QuantizeConfig } from '../../config/index.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { quantizeFlags, readQuantizeConfig } from './settings.ts';

export type QuantizeArgs = {
  /** Directory of the 16- or 32-bit model. */
  readonly model: string;
  /** New or empty directory to write. */
  readonly out: string;
  readonly config: QuantizeConfig;
  readonly json: boolean;
};

/** Makes the command; `run` quantizes. */
export function quantizeCommand(context: CliContext, run: Handler<QuantizeArgs>): Command {
  const command = newCommand(context, {
    name: 'quantize',
    summary:
      'Write a 4-bit checkpoint of a model, as bitsandbytes quantizes it: nibble train and from_pretrained of transformers load it.',
    examples: [
      'nibble quantize ./llama ./llama-4bit                                         # NF4, as QLoRA has it',
      'nibble quantize ./llama ./llama-4bit --bnb_4bit_use_double_quant             # 4.127 instead of 4.5 bits a weight',
      'nibble quantize HuggingFaceTB/SmolLM2-135M ./smol-4bit                       # fetched from the Hugging Face hub first',
      'nibble quantize ./llama ./llama-fp4 --bnb_4bit_quant_type fp4 --dtype bfloat16',
      'nibble quantize ./llama ./llama-4bit --llm_int8_skip_modules lm_head,down_proj',
      'nibble quantize ./llama ./llama-4bit --max_shard_size 5GB --json             # shards, and figures for a program',
    ],
  })
    .argument('<model>', 'directory of a Hugging Face model (config.json, safetensors), or its name on the hub')
    .argument('<out>', 'directory to write; it must be empty or new')
    .option('--json', 'print what was written as JSON');
  for (const { flag, help } of quantizeFlags()) command.option(flag, help);
  return command.action(async (model: string, out: string, options: Record<string, unknown>) =>
    run({ model, out, config: readQuantizeConfig(options), json: options.json === true }, context),
  );
}
