/** Configurations as other projects publish them, with a small model and small data in the place of theirs. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { writeShallow } from '../models/shallow.ts';
import { directory, GOLDEN, nibbleTrain, trainerState } from './nibble.ts';

const TINY = await writeShallow(path.join(directory(), 'tiny'), 1);
const ALPACA = JSON.stringify(
  Array.from({ length: 24 }, (_, i) => ({
    instruction: `Add ${i} and ${i + 1}.`,
    input: i % 3 === 0 ? `They are ${i} and ${i + 1}.` : '',
    output: `${2 * i + 1}`,
  })),
);

/** A published recipe; every text that is replaced has to stand in it. */
function recipe(file: string, replaced: Readonly<Record<string, string>>): string {
  let text = readFileSync(path.join(GOLDEN, 'recipes', file), 'utf8');
  for (const [theirs, ours] of Object.entries(replaced)) {
    expect(text).toContain(theirs);
    text = text.replace(theirs, ours);
  }
  return text;
}

describe('runs unchanged but for paths', () => {
  test("Axolotl's QLoRA of a 1B model", async () => {
    const at = directory({ 'alpaca.json': ALPACA });
    const output = path.join(at, 'out');
    const text = recipe('axolotl-qlora.yml', {
      'NousResearch/Llama-3.2-1B': TINY,
      'teknium/GPT4-LLM-Cleaned': path.join(at, 'alpaca.json'),
      './outputs/qlora-out': output,
      // the tiny model has 512 positions
      'sequence_len: 2048': 'sequence_len: 512',
    });
    const config = path.join(directory({ 'qlora.yml': text }), 'qlora.yml');
    const { code, stderr } = await nibbleTrain(config);
    expect(code, stderr).toBe(0);
    const said = (name: string) => stderr.split('\n').filter((line) => line.includes(name));
    expect(said('recipe: read as one of Axolotl')).toHaveLength(1);
    expect(said('attn_implementation: "flash_attention_2"')).toHaveLength(1);
    expect(said('evals_per_epoch: 4: read as eval_strategy steps')).toHaveLength(1);
    expect(said('optimizer: "adamw_bnb_8bit" is computed as adamw_torch')).toHaveLength(1);
    expect(said('is computed as float')).toHaveLength(1);
    expect(stderr).not.toMatch(/wandb|remove it/);
    const { log_history } = trainerState(output);
    expect(log_history.filter((row) => 'eval_loss' in row).length).toBeGreaterThan(0);
  });

  test("LLaMA-Factory's QLoRA of an 8B model, its data by name", async () => {
    const info = { identity: { file_name: 'a.json' }, alpaca_en_demo: { file_name: 'b.json' } };
    const data = directory({ 'a.json': ALPACA, 'b.json': ALPACA, 'dataset_info.json': JSON.stringify(info) });
    const output = path.join(directory(), 'out');
    const text = recipe('llama-factory-qlora.yaml', {
      'meta-llama/Meta-Llama-3-8B-Instruct': TINY,
      'saves/llama3-8b/lora/sft': output,
      'cutoff_len: 2048': 'cutoff_len: 512',
    });
    const config = path.join(directory({ 'sft.yaml': text }), 'sft.yaml');
    const { code, stderr } = await nibbleTrain(config, '--dataset_dir', data, '--num_train_epochs', '1');
    expect(code, stderr).toBe(0);
    expect(stderr).toContain('recipe: read as one of LLaMA-Factory');
    expect(stderr).toContain("chats go through the model's own template");
    expect(readFileSync(path.join(output, 'adapter_config.json'), 'utf8')).toMatch(/"lora_alpha": 16,/);
  });

  test("TRL's QLoRA from the command line", async () => {
    const rows = Array.from({ length: 8 }, (_, i) => JSON.stringify({ prompt: `${i} + 1 =`, completion: ` ${i + 1}` }));
    const data = directory({ 'rows.jsonl': rows.join('\n') });
    const output = path.join(data, 'out');
    const { code, stderr } = await nibbleTrain(
      ...['--model_name_or_path', TINY, '--dataset_name', path.join(data, 'rows.jsonl'), '--load_in_4bit'],
      ...['--use_peft', '--lora_r', '32', '--lora_alpha', '16', '--learning_rate', '2.0e-4', '--num_train_epochs', '1'],
      ...['--per_device_train_batch_size', '2', '--gradient_accumulation_steps', '2', '--gradient_checkpointing'],
      ...['--eval_strategy', 'no', '--output_dir', output],
    );
    expect(code, stderr).toBe(0);
    expect(trainerState(output).global_step).toBe(2);
  });
});

describe('what would change ids or rows is refused', () => {
  const DATA = directory({ 'rows.json': ALPACA });
  const refused = async (...more: string[]) => {
    const base = ['--model_name_or_path', TINY, '--output_dir', path.join(directory(), 'out'), '--max_steps', '1'];
    const { code, stderr } = await nibbleTrain(...base, ...more);
    expect(code).toBe(2);
    return stderr;
  };

  test('an eos_token that is not the tokenizer’s', async () => {
    const said = await refused('--datasets', path.join(DATA, 'rows.json'), '--eos_token', '<|im_end|>');
    expect(said).toMatch(/special_tokens\.eos_token: got "<\|im_end\|>", the tokenizer has /);
  });

  test('what is not followed, and advice, with strict: all at once, and nothing is written', async () => {
    const output = path.join(directory(), 'out');
    const rows = ['--datasets', path.join(DATA, 'rows.json'), '--model_name_or_path', TINY, '--output_dir', output];
    const { code, stderr } = await nibbleTrain(...rows, '--strict', '--deepspeed', 'zero.json', '--max_steps', '1');
    expect(code).toBe(2);
    expect(stderr).toMatch(/2 problems[\s\S]*\n {2}deepspeed: .*\(strict\)\n {2}learning_rate: 5e-5 is .*\(strict\)\n/);
    expect(stderr.match(/deepspeed/g)).toHaveLength(2);
    expect(existsSync(output)).toBe(false);
  });

  test('a dataset_info.json whose columns are others, or that names a hub', async () => {
    const info = {
      other: { file_name: 'a.json', columns: { prompt: 'question' } },
      hub: { hf_hub_url: 'org/name' },
    };
    const at = directory({ 'a.json': ALPACA, 'dataset_info.json': JSON.stringify(info) });
    expect(await refused('--dataset', 'other', '--dataset_dir', at)).toMatch(/reads prompt from "question"/);
    expect(await refused('--dataset', 'hub', '--dataset_dir', at)).toMatch(/wanted a file_name in /);
  });
});
