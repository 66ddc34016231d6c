/** The README.md beside a saved adapter. */
import type { LoraConfig } from './config.ts';

/** Formats the README.md. @param config as saved: target_modules is a list */
export function modelCard(config: LoraConfig): string {
  const base = config.base_model_name_or_path ?? 'not recorded';
  return `---
library_name: peft
${config.base_model_name_or_path === null ? '' : `base_model: ${JSON.stringify(base)}\n`}tags:
  - lora
---

# LoRA adapter

Base model: ${base}

${recipe(config)}

Trained with nibble. It loads with PEFT:

\`\`\`python
from peft import PeftModel
model = PeftModel.from_pretrained(base_model, "path/to/this/directory")
\`\`\`
`;
}

function recipe(config: LoraConfig): string {
  const targets = (config.target_modules as readonly string[]).join(', ');
  const { r, lora_alpha, use_rslora, use_dora, lora_dropout, bias, modules_to_save } = config;
  const parts = [
    `Rank ${r}, alpha ${lora_alpha}${use_rslora ? ' (rank-stabilised)' : ''}, dropout ${lora_dropout}, on ${targets}`,
    ...(use_dora ? ['with DoRA'] : []),
    ...(bias === 'none' ? [] : [`biases trained: ${bias}`]),
    ...(modules_to_save === null ? [] : [`trained whole: ${modules_to_save.join(', ')}`]),
  ];
  return `${parts.join('; ')}.`;
}
