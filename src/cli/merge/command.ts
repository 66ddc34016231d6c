/** nibble merge: writes a model with an adapter merged into it. */
import type { Command } from 'commander';
import { checkMergeSettings, type MergeConfig, mergeSettings } from '../../config/merge.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type MergeArgs = {
  readonly model: string;
  readonly adapter: string;
  readonly out: string;
  readonly config: MergeConfig;
  readonly json: boolean;
};

/** Makes the command; `run` merges. */
export function mergeCommand(context: CliContext, run: Handler<MergeArgs>): Command {
  const command = newCommand(context, {
    name: 'merge',
    summary:
      "Write a model with an adapter merged into its weights, with the bytes of PEFT's merge_and_unload. A base in 4 bits is decoded, " +
      'merged and quantized again as it was.',
    examples: [
      'nibble merge ./llama ./out ./merged                      # a complete model that transformers and nibble load',
      'nibble merge ./llama ./out ./merged --dtype float16      # written in another type',
      'nibble merge ./llama-4bit ./out ./merged --dequantize    # out of 4 bits: the weights that QLoRA trained on',
      'nibble merge ./llama ./out ./merged --datasets eval.jsonl   # and the loss before and after',
      'nibble merge ./llama-4bit ./out ./merged-4bit --json     # back into 4 bits, and how much of each update that holds',
    ],
  })
    .argument('<model>', 'directory of the Hugging Face model that the adapter was trained on, or its name on the hub')
    .argument('<adapter>', 'directory of a PEFT adapter, or its name on the hub')
    .argument('<out>', 'directory to write; it must be empty or new')
    .option('--json', 'print what was written as JSON');
  for (const { flag, help } of shapeFlags(mergeSettings.shape, {
    max_shard_size: 'a size',
    datasets: 'paths with commas between them',
  }))
    command.option(flag, help);
  return command.action(async (model: string, adapter: string, out: string, options: Record<string, unknown>) => {
    const config = checkMergeSettings(shapeValues(mergeSettings.shape, options), (key) => `--${key}`);
    await run({ model, adapter, out, config, json: options.json === true }, context);
  });
}
