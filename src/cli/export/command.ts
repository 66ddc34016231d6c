/** nibble export: writes an adapter for llama.cpp and Ollama. */
import type { Command } from 'commander';
import { checkExportSettings, type ExportConfig, exportSettings } from '../../config/export.ts';
import { newCommand } from '../shared/command.ts';
import type { CliContext, Handler } from '../shared/context.ts';
import { shapeFlags, shapeValues } from '../shared/shape-flags.ts';

export type ExportArgs = {
  readonly adapter: string;
  readonly gguf: string;
  readonly model?: string;
  readonly modelfile?: string;
  readonly from?: string;
  readonly config: ExportConfig;
  readonly json: boolean;
};

/** Makes the command; `run` exports. */
export function exportCommand(context: CliContext, run: Handler<ExportArgs>): Command {
  const command = newCommand(context, {
    name: 'export',
    summary:
      "Write an adapter as a GGUF file, which llama.cpp and Ollama load beside the base, as llama.cpp's own converter writes it.",
    examples: [
      'nibble export ./out --gguf out.gguf                            # llama-cli -m base.gguf --lora out.gguf',
      'nibble export ./out --gguf out.gguf --outtype f16              # half the size',
      'nibble export ./out --gguf out.gguf --model ./llama            # where the adapter names no folder as its base',
      'nibble export ./out --gguf out.gguf --modelfile Modelfile --from smollm2:135m   # ollama create my -f Modelfile',
    ],
  })
    .argument('<adapter>', 'directory of a PEFT adapter, or its name on the hub')
    .requiredOption('--gguf <file>', 'file to write; it must not exist')
    .option(
      '--model <dir>',
      "directory of the base model, or its name on the hub; config.json is read (default: the adapter's own)",
    )
    .option('--modelfile <file>', 'Modelfile of Ollama to write as well; it must not exist')
    .option(
      '--from <name>',
      "what the Modelfile builds on: a model that Ollama has, or a GGUF file (default: the base's folder)",
    )
    .option('--json', 'print what was written as JSON');
  for (const { flag, help } of shapeFlags(exportSettings.shape)) command.option(flag, help);
  return command.action(async (adapter: string, options: Record<string, unknown>) => {
    const config = checkExportSettings(shapeValues(exportSettings.shape, options), (key) => `--${key}`);
    const { gguf, model, modelfile, from } = options as Pick<ExportArgs, 'gguf' | 'model' | 'modelfile' | 'from'>;
    const files = {
      gguf,
      ...(model === undefined ? {} : { model }),
      ...(modelfile === undefined ? {} : { modelfile }),
      ...(from === undefined ? {} : { from }),
    };
    await run({ adapter, ...files, config, json: options.json === true }, context);
  });
}
