/** The command that a finished run suggests: text from what it has trained. */
import type { TrainConfig } from '../../config/index.ts';

/** Names the command. A full run leaves a whole model, others an adapter for the base. */
export function nextStep({ method, model_name_or_path, output_dir }: TrainConfig): string {
  const out = word(output_dir);
  const model = method === 'full' ? out : `${word(model_name_or_path)} --adapter ${out}`;
  return `next: nibble generate ${model} --prompt "..."`;
}

/** Quotes what a shell would take apart. */
function word(text: string): string {
  return /^[\w./@:+-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}
