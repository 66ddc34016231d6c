/** `nibble train` refuses files of other tools that contradict themselves or the model. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, test } from 'vitest';
import { directory, GOLDEN } from './nibble.ts';
import { expectRefusal, type Says } from './refusal.ts';

const BASE = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
const SMALLER = path.join(GOLDEN, 'formats', 'llama-untied-f32');
const FOUR_BIT = path.join(GOLDEN, 'peft-steps', 'qlora', 'base');
const ADAPTER = path.join(GOLDEN, 'peft-steps', 'lora', 'adapter-init');
const PHI3 = path.join(GOLDEN, 'architectures', 'phi3', 'adapter-init');
const WEIGHTS = 'model.safetensors';
const ADAPTER_WEIGHTS = 'adapter_model.safetensors';

const text = (...parts: string[]) => readFileSync(path.join(...parts), 'utf8');

/** Replaces the first occurrence of a text in a file by another of the same length. */
function patched(file: string, from: string, to: string): Uint8Array {
  const bytes = readFileSync(file);
  const at = bytes.indexOf(from);
  if (at < 0 || from.length !== to.length) throw new Error(`${file} has no ${from} to replace by ${to}`);
  bytes.write(to, at);
  return bytes;
}

/** Writes the adapter without the last `count` tensors of its file, and returns their names too. */
function shortened(count: number): { adapter: string; gone: string[] } {
  const bytes = readFileSync(path.join(ADAPTER, ADAPTER_WEIGHTS));
  const start = 8 + Number(bytes.readBigUInt64LE(0));
  type Entry = { data_offsets: [number, number] };
  const { __metadata__, ...tensors } = JSON.parse(bytes.toString('utf8', 8, start)) as Record<string, Entry>;
  const ordered = Object.entries(tensors).sort(([, a], [, b]) => a.data_offsets[0] - b.data_offsets[0]);
  const gone = ordered.splice(-count);
  const header = Buffer.from(JSON.stringify(Object.fromEntries(ordered)));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const data = bytes.subarray(start, start + (gone[0]?.[1].data_offsets[0] ?? 0));
  return {
    adapter: directory({
      'adapter_config.json': text(ADAPTER, 'adapter_config.json'),
      [ADAPTER_WEIGHTS]: Buffer.concat([length, header, data]),
    }),
    gone: gone.map(([name]) => name),
  };
}

const { adapter: incomplete, gone } = shortened(3);
const PICKLE = 'is a pickle, which runs code when it is loaded and is refused';

const CASES: Record<string, { model?: string; adapter?: string; says: Says }> = {
  'a quantization record of another shape than its codes': {
    model: directory(
      { [WEIGHTS]: patched(path.join(FOUR_BIT, WEIGHTS), '"shape": [64, 320]', '"shape": [64, 640]') },
      FOUR_BIT,
    ),
    says: [WEIGHTS, /down_proj\.weight holds 10240 bytes, needs 20480 for codes of \[64,640\]/],
  },
  'a quantization record that config.json contradicts': {
    model: directory(
      { [WEIGHTS]: patched(path.join(FOUR_BIT, WEIGHTS), '"shape": [64, 320]', '"shape": [320, 64]') },
      FOUR_BIT,
    ),
    says: [WEIGHTS, 'was quantized from (320, 64), config.json wants (64, 320): they belong to different models'],
  },
  'an adapter for another base: every tensor, though there are many': {
    model: SMALLER,
    adapter: ADAPTER,
    says: [
      ADAPTER_WEIGHTS,
      'tensors do not fit the model',
      'Was the adapter trained on another base?',
      ...readNames(ADAPTER),
    ],
  },
  'an adapter for another architecture, of which no name matches: every tensor all the same': {
    adapter: directory({
      'adapter_config.json': JSON.stringify({
        ...JSON.parse(text(PHI3, 'adapter_config.json')),
        target_modules: ['qkv_proj', 'gate_up_proj'],
      }),
      [ADAPTER_WEIGHTS]: readFileSync(path.join(PHI3, ADAPTER_WEIGHTS)),
    }),
    says: [
      '16 tensors do not fit the model: target_modules ["qkv_proj","gate_up_proj"] of adapter_config.json',
      'the embedding in embed_tokens. Was the adapter trained on another base?',
      ...readNames(PHI3),
    ],
  },
  'an adapter that lacks tensors': {
    adapter: incomplete,
    says: ['3 tensors do not fit the model', ...gone.map((name) => `${name} is missing, needs [`)],
  },
  'a pickled adapter': {
    adapter: directory({
      'adapter_config.json': text(ADAPTER, 'adapter_config.json'),
      'adapter_model.bin': 'x',
    }),
    says: ['adapter_model.bin', PICKLE, 'Save the adapter as adapter_model.safetensors'],
  },
  'a pickled adapter, .pt': {
    adapter: directory({
      'adapter_config.json': text(ADAPTER, 'adapter_config.json'),
      'adapter_model.pt': 'x',
    }),
    says: ['adapter_model.pt', PICKLE],
  },
  'a pickled adapter without its folder': {
    adapter: path.join(directory({ 'w.pt': 'x' }), 'w.pt'),
    says: [`w.pt ${PICKLE}`, 'Save the adapter as adapter_model.safetensors', 'Then give its folder'],
  },
  'a pickled model': {
    model: directory({ 'config.json': text(BASE, 'config.json'), 'pytorch_model.bin': 'x' }),
    says: [`pytorch_model.bin ${PICKLE}`, 'let save_pretrained(FOLDER) write it as safetensors'],
  },
  'a pickle in the place of the folder': {
    model: path.join(directory({ 'w.pt': 'x' }), 'w.pt'),
    says: [
      `model_name_or_path: `,
      `w.pt ${PICKLE}. Load it with transformers where you trust it, and let save_pretrained(FOLDER) write it as safetensors.`,
      'Then give its folder (--model_name_or_path)',
    ],
  },
  'a pickle and nothing else': {
    model: directory({ 'training_args.bin': 'x', 'w.pth': 'x' }),
    says: ['has no config.json (it holds training_args.bin, w.pth)', `. w.pth ${PICKLE}`],
  },
  'a pickled model, .pt': {
    model: directory({ 'config.json': text(BASE, 'config.json'), 'model.pt': 'x' }),
    says: [`model.pt ${PICKLE}`],
  },
  'a tied model whose head is not its embedding': {
    model: directory(
      {
        'config.json': text(SMALLER, 'config.json').replace(
          '"tie_word_embeddings": false',
          '"tie_word_embeddings": true',
        ),
      },
      SMALLER,
    ),
    says: [
      `${WEIGHTS}: lm_head.weight differs from model.embed_tokens.weight: element 0 is `,
      'Set tie_word_embeddings: false in config.json',
    ],
  },
  'an unknown rope type': {
    model: directory(
      {
        'config.json': text(BASE, 'config.json').replace('"rope_type": "default"', '"rope_type": "polar"'),
      },
      BASE,
    ),
    says: ['rope_parameters.rope_type', '"polar"; supported are default, linear, llama3, yarn'],
  },
};

function readNames(adapter: string): string[] {
  const bytes = readFileSync(path.join(adapter, ADAPTER_WEIGHTS));
  const header = JSON.parse(bytes.toString('utf8', 8, 8 + Number(bytes.readBigUInt64LE(0)))) as object;
  return Object.keys(header).filter((name) => name !== '__metadata__');
}

test.each(Object.entries(CASES))('%s', async (_, { model = BASE, adapter, says }) => {
  const root = directory({ 'rows.jsonl': `${JSON.stringify({ input_ids: [1, 2, 3, 4] })}\n` });
  const output = path.join(directory(), 'run');
  const argv = ['--model_name_or_path', model, '--datasets', path.join(root, 'rows.jsonl'), '--output_dir', output];
  const adapted = adapter === undefined ? [] : ['--adapter_name_or_path', adapter];
  await expectRefusal(root, [...argv, '--max_steps', '1', ...adapted], says, model);
  expect(existsSync(output)).toBe(false);
});

test('that adapter has more tensors than a list cut short would name', () => {
  expect(readNames(ADAPTER).length).toBe(28);
});
