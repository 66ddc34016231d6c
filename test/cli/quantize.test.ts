import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeEach, describe, expect, it } from 'vitest';
import { quantizeCommand } from '../../src/cli/quantize/command.ts';
import { runQuantize } from '../../src/cli/quantize/run.ts';
import type { CliContext } from '../../src/cli/shared/context.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { type TensorToWrite, writeSafetensors } from '../../src/formats/safetensors-write.ts';
import { nodeReader, nodeWriter } from '../../src/node/files.ts';
import { nibble } from './fakes.ts';

const GOLDEN = new URL('../golden/', import.meta.url).pathname;
const MODEL = path.join(GOLDEN, 'llama/tied-mha-bf16');
const root = mkdtempSync(path.join(tmpdir(), 'nibble-quantize-'));
afterAll(() => rmSync(root, { recursive: true }));

let at = '';
let made = 0;
beforeEach(() => {
  at = path.join(root, String(made++));
  mkdirSync(at);
});

const out = (name = 'out') => path.join(at, name);

/** Runs `nibble quantize ARGS` on a disk with `free` bytes. */
function quantize(args: readonly string[], more: Partial<CliContext> & { free?: number } = {}) {
  const { free, ...context } = more;
  const freeBytes = free === undefined ? undefined : () => Promise.resolve(free);
  return nibble(
    ['quantize', ...args],
    [(c) => quantizeCommand(c, (a, ctx) => runQuantize(a, ctx, freeBytes))],
    context,
  );
}

/** Copies a model directory, with each tensor under the names that `names` returns for it. */
async function copyOf(from: string, names: (name: string) => readonly string[]): Promise<string> {
  const source = await openCheckpoint(nodeReader(from));
  const tensors: TensorToWrite[] = [];
  for (const stored of source.names()) {
    const { dtype, shape, bytes } = source.info(stored);
    const own = new Uint8Array(bytes);
    await source.read(stored, 0, own);
    for (const name of names(stored)) tensors.push({ name, dtype, shape, data: () => [own] });
  }
  const model = path.join(at, 'model');
  mkdirSync(model);
  await writeSafetensors(nodeWriter(model), 'model.safetensors', tensors);
  writeFileSync(path.join(model, 'config.json'), readFileSync(path.join(from, 'config.json')));
  return model;
}

describe('nibble quantize', () => {
  it('writes weights, config.json and what else a model needs, and says what it did', async () => {
    const { code, stdout, stderr } = await quantize([MODEL, out()]);
    // 104,448 weights of the layers at 4.5 bits; 163 x 64 of the embedding and 5 x 64 of the norms at 16
    expect({ code, stdout }).toEqual({
      code: 0,
      stdout: `${out()}: 14 weights in nf4 (4.500 bits a parameter), 78.38 KiB, from 225.0 KiB; lm_head kept\n`,
    });
    expect(stderr).toMatch(/^quantize …\n✓ quantize .*\nwrite …\n✓ write .*\n$/);
    expect(readdirSync(out()).sort()).toEqual(['config.json', 'generation_config.json', 'model.safetensors']);
    expect(readdirSync(at)).toEqual(['out']);
  });

  it('makes folders on the way, and takes an empty one', async () => {
    expect((await quantize([MODEL, out('a/b/c')])).code).toBe(0);
    mkdirSync(out('empty'));
    expect((await quantize([MODEL, out('empty')])).code).toBe(0);
    expect(existsSync(out('empty/config.json'))).toBe(true);
  });

  it('settings go by their names, with underscores or hyphens, into config.json and the figures', async () => {
    const { code, stdout } = await quantize([
      MODEL,
      out(),
      '--json',
      '--bnb_4bit_quant_type',
      'fp4',
      '--bnb-4bit-use-double-quant',
      '--dtype=float16',
      '--bnb_4bit_blocksize',
      '128',
      '--bnb_4bit_quant_storage',
      'bfloat16',
      '--bnb_4bit_compute_dtype',
      'bfloat16',
      '--llm_int8_skip_modules',
      'lm_head,down_proj',
      '--max_shard_size',
      '40KB',
    ]);
    expect(code).toBe(0);
    const config = JSON.parse(readFileSync(out('out/config.json'), 'utf8')) as Record<string, unknown>;
    expect(config.dtype).toBe('float16');
    expect(config.quantization_config).toMatchObject({
      bnb_4bit_quant_type: 'fp4',
      bnb_4bit_use_double_quant: true,
      bnb_4bit_quant_storage: 'bfloat16',
      bnb_4bit_compute_dtype: 'bfloat16',
      llm_int8_skip_modules: ['lm_head', 'down_proj'],
    });
    const summary = JSON.parse(stdout) as Record<string, unknown>;
    expect(summary).toMatchObject({
      model: MODEL,
      out: out(),
      quantized_tensors: 12,
      copied: ['generation_config.json'],
      kept_modules: ['model.layers.0.mlp.down_proj', 'model.layers.1.mlp.down_proj', 'lm_head'],
    });
    expect((summary.files as string[]).length).toBeGreaterThan(1);
    // blocks of 128, doubly quantized: 4 + 8/128 bits, and 64 bits a weight for its one nested scale and its offset
    const parameters = 2 * (4 * 96 * 64 + 2 * 144 * 64);
    expect(summary.bits_per_parameter).toBeCloseTo(4 + 8 / 128 + (12 * 64) / parameters, 10);
  });

  it.each([
    ['the head alone', ['lm_head.weight']],
    ['an equal head beside the embedding', ['model.embed_tokens.weight', 'lm_head.weight']],
  ])('a tied model that has %s becomes the same checkpoint', async (_, names) => {
    const model = await copyOf(MODEL, (name) => (name === 'model.embed_tokens.weight' ? names : [name]));
    // --dtype changes the matrix: a copy left behind would differ from it
    expect((await quantize([model, out('theirs'), '--dtype', 'float16'])).code).toBe(0);
    expect((await quantize([MODEL, out('plain'), '--dtype', 'float16'])).code).toBe(0);
    const written = (name: string) => readFileSync(out(`${name}/model.safetensors`));
    expect(written('theirs').equals(written('plain'))).toBe(true);
  });

  it('--help names every setting with its default, and shows examples', async () => {
    const { code, stdout } = await quantize(['--help']);
    expect(code).toBe(0);
    for (const key of [
      'bnb_4bit_quant_type',
      'bnb_4bit_use_double_quant',
      'bnb_4bit_blocksize',
      'bnb_4bit_quant_storage',
      'bnb_4bit_compute_dtype',
      'llm_int8_skip_modules',
      'dtype',
      'max_shard_size',
      'json',
    ])
      expect(stdout).toContain(`--${key}`);
    expect(stdout).toContain('default "50GB"');
    expect(stdout).toMatch(/Examples:\n {2}nibble quantize \.\/llama \.\/llama-4bit /);
  });
});

describe('refused, with exit code 2 and nothing written', () => {
  const full = () => {
    mkdirSync(out());
    writeFileSync(out('out/notes.txt'), 'mine');
  };
  const cases: [string, () => void, () => string[], string][] = [
    ['a folder that holds something', full, () => [MODEL, out()], 'is not empty (it holds notes.txt)'],
    [
      'a file',
      () => writeFileSync(out(), ''),
      () => [MODEL, out()],
      'cannot be used (a part of its path is a file, not a folder',
    ],
    ['the model itself', () => {}, () => [MODEL, MODEL], 'is not empty'],
    ['no model there', () => {}, () => [out('gone'), out()], 'model: there is no folder'],
    ['a name on the hub', () => {}, () => ['org/llama', out()], 'has no org/llama at revision main'],
    [
      'a folder without a model',
      () => mkdirSync(out('empty')),
      () => [out('empty'), out()],
      'empty is empty; wanted the directory of a Hugging Face model',
    ],
    [
      'a pickle in the place of the folder',
      () => writeFileSync(out('w.pt'), 'x'),
      () => [out('w.pt'), out()],
      'w.pt is a pickle, which runs code when it is loaded and is refused. Load it with transformers where you trust it, and let save_pretrained(FOLDER)',
    ],
    [
      'a pickle in the folder',
      () => {
        mkdirSync(out('model'));
        writeFileSync(out('model/config.json'), readFileSync(path.join(MODEL, 'config.json')));
        writeFileSync(out('model/pytorch_model.bin'), 'x');
      },
      () => [out('model'), out()],
      'pytorch_model.bin is a pickle, which runs code when it is loaded and is refused',
    ],
    [
      'a file of the model',
      () => {},
      () => [path.join(MODEL, 'model.safetensors'), out()],
      'model.safetensors is a file; wanted the directory',
    ],
    [
      'a quantized one',
      () => {},
      () => [path.join(GOLDEN, 'peft-steps/qlora/base'), out()],
      'is quantized already (it holds model.layers.0.mlp.down_proj.weight in 4 bits)',
    ],
    [
      'a type that is none',
      () => {},
      () => [MODEL, out(), '--bnb_4bit_quant_type', 'nf5'],
      'bnb_4bit_quant_type: got "nf5", wanted one of nf4, fp4; did you mean nf4?',
    ],
    [
      'a size that is none',
      () => {},
      () => [MODEL, out(), '--max_shard_size', '5 gigs'],
      'max_shard_size: got "5 gigs"',
    ],
    [
      'an unknown skip',
      () => {},
      () => [MODEL, out(), '--llm_int8_skip_modules', 'lm_head,kproj'],
      '"kproj" names no module',
    ],
    ['an unknown flag', () => {}, () => [MODEL, out(), '--bits', '3'], "unknown option '--bits'"],
    ['no target', () => {}, () => [MODEL], "missing required argument 'out'"],
  ];

  it.each(cases)('%s', async (_, prepare, args, message) => {
    prepare();
    const before = readdirSync(at, { recursive: true });
    const { code, stdout, stderr } = await quantize(args());
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr).toContain(message);
    expect(readdirSync(at, { recursive: true })).toEqual(before);
  });

  it('a tied model whose head is not its embedding', async () => {
    const gate = 'model.layers.0.mlp.gate_proj.weight';
    const model = await copyOf(MODEL, (name) => (name === gate ? [name, 'lm_head.weight'] : [name]));
    const { code, stderr } = await quantize([model, out()]);
    expect(code).toBe(2);
    expect(stderr).toContain('lm_head.weight is BF16 (144, 64), model.embed_tokens.weight is BF16 (163, 64)');
    expect(stderr).toContain('Set tie_word_embeddings: false in config.json');
    expect(readdirSync(at)).toEqual(['model']);
  });

  it('both settings that do not fit are named', async () => {
    const { stderr } = await quantize([MODEL, out(), '--bnb_4bit_blocksize', '48', '--dtype', 'int8']);
    expect(stderr).toContain('2 problems');
    expect(stderr).toContain('bnb_4bit_blocksize: got 48, wanted one of 32, 64');
    expect(stderr).toContain('dtype: got "int8", wanted one of auto, float32');
  });

  it('too little room on the disk is said with figures', async () => {
    const { code, stderr } = await quantize([MODEL, out()], { free: 100_000 });
    expect(code).toBe(2);
    expect(stderr).toMatch(
      /needs 135\.8 KiB on the disk \(the checkpoint 78\.38 KiB, quantized weights once more meanwhile 57\.\d+ KiB\), 97\.66 KiB are free/,
    );
    expect(readdirSync(at)).toEqual([]);
  });
});

describe('a run that ends early', () => {
  it('leaves nothing after an interrupt', async () => {
    const controller = new AbortController();
    const error = Object.assign(new Error('stopped'), { name: 'AbortError' });
    const stderr = {
      write: (text: string) => {
        if (text.startsWith('write')) controller.abort(error);
      },
    };
    const { code } = await quantize([MODEL, out()], { signal: controller.signal, stderr });
    expect(code).not.toBe(0);
    expect(readdirSync(at)).toEqual([]);
  });

  it('leaves nothing after a weight that is not finite, and names it', async () => {
    const model = path.join(at, 'model');
    mkdirSync(model);
    const file = readFileSync(path.join(MODEL, 'model.safetensors'));
    // the last two bytes belong to the last tensor
    file.writeUInt16LE(0x7fc0, file.length - 2);
    writeFileSync(path.join(model, 'model.safetensors'), file);
    writeFileSync(path.join(model, 'config.json'), readFileSync(path.join(MODEL, 'config.json')));
    const { code, stderr } = await quantize([model, out()]);
    expect(code).toBe(2);
    expect(stderr).toMatch(/model\.safetensors: model\.\S+: element \d+ /);
    expect(readdirSync(at)).toEqual(['model']);
  });
});
