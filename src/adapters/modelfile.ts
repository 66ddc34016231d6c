/** The Modelfile of Ollama that puts an adapter on its base: `ollama create NAME -f Modelfile`. */
import { ConfigError } from '../errors.ts';

/**
 * Formats it. @param from what Ollama builds on: the name of a model it has, a GGUF file, or a folder of safetensors
 * @param adapter path of the GGUF adapter, from the Modelfile's folder @throws ConfigError for what one line cannot hold
 */
export function formatModelfile(from: string, adapter: string): string {
  return `FROM ${word(from)}\nADAPTER ${word(adapter)}\n`;
}

/** Ollama's reader takes a value up to the end of the line, or between quotation marks. */
function word(value: string): string {
  if (/["\n\r]/.test(value))
    throw new ConfigError([
      {
        path: 'modelfile',
        message: `cannot name ${JSON.stringify(value)}: it holds a quotation mark or a line end. Rename it.`,
      },
    ]);
  return /\s|^#/.test(value) ? `"${value}"` : value;
}
