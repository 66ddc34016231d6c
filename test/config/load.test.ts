/** Every way a configuration can be right or wrong, by the messages a person sees. */
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import {
  type ConfigSources,
  loadTrainConfig,
  printConfig,
  settleComputeDtype,
  wasSet,
} from '../../src/config/index.ts';
import { ConfigError, type ConfigProblem } from '../../src/errors.ts';

const MINIMAL = 'model_name_or_path: ./llama\ndatasets: [{path: rows.jsonl}]\n';

function load(yaml: string, more: Omit<ConfigSources, 'file'> = {}) {
  return loadTrainConfig({ file: { path: 'run.yaml', text: MINIMAL + yaml }, ...more });
}

/** Lists the problems of a configuration that must be refused, as "path: message". */
function refused(attempt: () => unknown): string[] {
  try {
    attempt();
  } catch (error) {
    expect(error).toBeInstanceOf(ConfigError);
    return (error as ConfigError).problems.map(line);
  }
  throw new Error('the configuration was accepted');
}

const line = ({ path, message }: ConfigProblem) => `${path}: ${message}`;

describe('defaults', () => {
  test('are those of TrainingArguments, LoraConfig and BitsAndBytesConfig but for two', () => {
    const { values, origins, notices } = load('');
    // Read out of transformers 5.24 and peft 0.21.2; bnb_4bit_quant_type and logging_steps are ours.
    expect(values).toMatchObject({
      per_device_train_batch_size: 8,
      per_device_eval_batch_size: 8,
      gradient_accumulation_steps: 1,
      num_train_epochs: 3,
      max_steps: -1,
      learning_rate: 5e-5,
      lr_scheduler_type: 'linear',
      warmup_steps: 0,
      weight_decay: 0,
      adam_beta1: 0.9,
      adam_beta2: 0.999,
      adam_epsilon: 1e-8,
      max_grad_norm: 1,
      seed: 42,
      data_seed: null,
      eval_strategy: 'no',
      output_dir: 'trainer_output',
      train_sampling_strategy: 'random',
      lora_r: 8,
      lora_alpha: 8,
      lora_dropout: 0,
      use_rslora: false,
      init_lora_weights: true,
      load_in_4bit: false,
      bnb_4bit_use_double_quant: false,
      bnb_4bit_compute_dtype: 'float32',
      bnb_4bit_quant_type: 'nf4',
      logging_steps: 1,
      save_strategy: 'steps',
      save_steps: 500,
      save_total_limit: null,
      load_best_model_at_end: false,
      metric_for_best_model: null,
      greater_is_better: null,
      resume_from_checkpoint: null,
      method: 'lora',
      bnb_4bit_blocksize: 64,
    });
    expect(origins.learning_rate).toEqual({ source: 'default', where: 'default' });
    expect(notices).toEqual([]);
  });
});

describe('precedence', () => {
  const sources = { env: { NIBBLE_LORA_R: '4', NIBBLE_SEED: '5', HOME: '/' }, flags: { lora_r: '32' } };

  test('a flag beats the environment, which beats the file, and each value keeps its origin', () => {
    const { values, origins } = load('lora_r: 2\nseed: 3\nmax_steps: 7\n', sources);
    expect([values.lora_r, values.seed, values.max_steps]).toEqual([32, 5, 7]);
    expect(origins.lora_r).toEqual({ source: 'flag', where: '--lora_r' });
    expect(origins.seed).toEqual({ source: 'env', where: 'NIBBLE_SEED' });
    expect(origins.max_steps).toEqual({ source: 'file', where: 'run.yaml:5' });
  });

  test('a wrong value is reported even where a flag replaces it', () => {
    expect(refused(() => load('lora_r: two\n', sources))).toEqual([
      'lora_r: got "two", wanted an integer of at least 1 (run.yaml:3)',
    ]);
  });

  test('an unknown NIBBLE_ variable is a notice, because another program may use it', () => {
    expect(load('', { env: { NIBBLE_LORA_RR: '4', NIBBLE_TEST_DEVICE: 'x' } }).notices.map(line)).toEqual([
      'NIBBLE_LORA_RR: unknown key, did you mean lora_r? (not read)',
    ]);
  });

  test('wasSet tells what somebody asked for from defaults and from what follows', () => {
    const config = load('method: qlora\n');
    expect([wasSet(config, 'method'), wasSet(config, 'load_in_4bit'), wasSet(config, 'seed')]).toEqual([
      true,
      false,
      false,
    ]);
  });
});

describe('text from flags and environment', () => {
  const flags = (given: Record<string, string | true>) => load('', { flags: given }).values;

  test('a printed config has numbers as PyYAML knows them: with a point before the exponent', () => {
    const text = printConfig(load('learning_rate: 1e-5\nadam_epsilon: 1.5e-9\nweight_decay: 0.1\n'));
    const printed = (key: string) => new RegExp(`^${key}: (\\S+)`, 'm').exec(text)?.[1];
    expect([printed('learning_rate'), printed('adam_epsilon'), printed('weight_decay')]).toEqual([
      '0.00001',
      '1.5e-9',
      '0.1',
    ]);
    const tiny = load('adam_epsilon: 1e-8\n');
    expect(printConfig(tiny)).toContain('\nadam_epsilon: 1.0e-8 ');
    expect((parse(printConfig(tiny)) as { adam_epsilon: number }).adam_epsilon).toBe(1e-8);
  });

  test('1e-5 is a number, in a flag and in YAML', () => {
    expect(flags({ learning_rate: '1e-5' }).learning_rate).toBe(1e-5);
    expect(load('learning_rate: 1e-5\n').values.learning_rate).toBe(1e-5);
  });

  test('a bare flag is true, and hyphens are underscores', () => {
    expect(flags({ 'use-rslora': true }).use_rslora).toBe(true);
  });

  test('lists are words with commas, paths with commas, or YAML', () => {
    expect(flags({ lora_target_modules: 'q_proj,k_proj' }).lora_target_modules).toEqual(['q_proj', 'k_proj']);
    expect(flags({ lora_target_modules: '[q_proj]' }).lora_target_modules).toEqual(['q_proj']);
    expect(flags({ datasets: 'a.jsonl,b.jsonl' }).datasets).toEqual([{ path: 'a.jsonl' }, { path: 'b.jsonl' }]);
    expect(flags({ llm_int8_skip_modules: 'lm_head' }).llm_int8_skip_modules).toEqual(['lm_head']);
  });

  test('a regular expression with a comma stays one text, and so does a path that YAML would read otherwise', () => {
    expect(flags({ lora_target_modules: '.*[qv]_proj.{0,1}' }).lora_target_modules).toBe('.*[qv]_proj.{0,1}');
    expect(flags({ output_dir: './out #2' }).output_dir).toBe('./out #2');
    expect(flags({ output_dir: '123' }).output_dir).toBe('123');
  });

  test('null unsets what may be unset', () => {
    expect(load('data_seed: 4\n', { flags: { data_seed: 'null' } }).values.data_seed).toBeNull();
  });
});

describe('what is refused', () => {
  test.each([
    ['lora_rr: 4', 'lora_rr: unknown key, did you mean lora_r? (run.yaml:3)'],
    ['learnign_rate: 1', 'learnign_rate: unknown key, did you mean learning_rate? (run.yaml:3)'],
    ['zzzzzzzz: 1', 'zzzzzzzz: unknown key (run.yaml:3)'],
    ['__proto__: {a: 1}', '__proto__: unknown key (run.yaml:3)'],
    ['lora_r: 0', 'lora_r: got 0, wanted an integer of at least 1 (run.yaml:3)'],
    [
      'max_gpu_memory: 40Gbit',
      'max_gpu_memory: got "40Gbit", wanted an integer of at least 1, or a text such as 40GB or 40GiB, or null (run.yaml:3)',
    ],
    ['lora_r: 1.5', 'lora_r: got 1.5, wanted an integer of at least 1 (run.yaml:3)'],
    ['lora_r:', 'lora_r: got nothing, wanted an integer of at least 1 (run.yaml:3)'],
    ['learning_rate: .nan', 'learning_rate: got NaN, wanted a number of at least 0 (run.yaml:3)'],
    ['learning_rate: .inf', 'learning_rate: got Infinity, wanted a number of at least 0 (run.yaml:3)'],
    ['learning_rate: -1', 'learning_rate: got -1, wanted a number of at least 0 (run.yaml:3)'],
    ['lora_dropout: 1', 'lora_dropout: got 1, wanted a number of at least 0 and below 1 (run.yaml:3)'],
    ['max_steps: 0', 'max_steps: got 0, wanted -1, or an integer of at least 1 (run.yaml:3)'],
    ['seed: 4294967296', 'seed: got 4294967296, wanted an integer of at least 0 and at most 4294967295 (run.yaml:3)'],
    ['load_in_4bit: yes', 'load_in_4bit: got "yes", wanted true or false (run.yaml:3)'],
    [
      'bnb_4bit_blocksize: 48',
      'bnb_4bit_blocksize: got 48, wanted one of 32, 64, 128, 256, 512, 1024, 2048, 4096 (run.yaml:3)',
    ],
    [
      'bnb_4bit_quant_type: nf5',
      'bnb_4bit_quant_type: got "nf5", wanted one of nf4, fp4, int4; did you mean nf4? (run.yaml:3)',
    ],
    ['rank_pattern: {q_proj: 0}', 'rank_pattern.q_proj: got 0, wanted an integer of at least 1 (run.yaml:3)'],
    ['alpha_pattern: 3', 'alpha_pattern: got 3, wanted a mapping from names to numbers above 0 (run.yaml:3)'],
    [
      'layers_to_transform: -1',
      'layers_to_transform: got -1, wanted a list of integers, or an integer of at least 0, or null (run.yaml:3)',
    ],
    [
      'lora_target_modules: []',
      'lora_target_modules: got [], wanted a list of texts, or a text, or null, and not an empty one (run.yaml:3)',
    ],
    ['eval_datasets: [{pth: a}]', 'eval_datasets[0].path: is missing; wanted a text (run.yaml:3)'],
    [
      'eval_datasets: e.jsonl',
      'eval_datasets: got "e.jsonl", wanted a list of mappings with path; write [{path: e.jsonl}] (run.yaml:3)',
    ],
    ['eval_datasets: [a]', 'eval_datasets[0]: got "a", wanted a mapping with path; write {path: a} (run.yaml:3)'],
    ['eval_datasets:\n  - path: a\n  - path: 3', 'eval_datasets[1].path: got 3, wanted a text (run.yaml:5)'],
    ['llm_int8_skip_modules:\n  - a\n  - 3', 'llm_int8_skip_modules[1]: got 3, wanted a text (run.yaml:5)'],
    ['warmup_ratio: 1', 'warmup_ratio: got 1, wanted a number of at least 0 and below 1 (run.yaml:3)'],
    ['shuffle_dataset: true', 'shuffle_dataset: is not supported yet: got true; remove it, or set false (run.yaml:3)'],
    [
      'packing_strategy: bfd-split',
      'packing_strategy: got "bfd-split", wanted one of bfd, bfd_split, wrapped; did you mean bfd_split? (run.yaml:3)',
    ],
    [
      'eval_packing: true',
      'eval_packing: got true, but packing is false, where TRL lets the rows it packs for evaluation see each other; ' +
        'set packing: true as well, or remove it (run.yaml:3)',
    ],
    ...['padding_free: true', 'padding_free: true\npacking: true\npacking_strategy: wrapped'].map((yaml) => [
      yaml,
      'padding_free: is only supported with packing: true and packing_strategy: bfd or bfd_split, which imply it; ' +
        'set those, or remove it (run.yaml:3)',
    ]),
    [
      'report_to: tensorbord',
      'report_to: got "tensorbord", wanted a list of texts, or one of none, all, tensorboard, csv, jsonl, wandb, mlflow, ' +
        'trackio, comet_ml, swanlab, clearml, neptune, azure_ml, dagshub, dvclive, flyte, codecarbon, kubeflow, or null; did ' +
        'you mean tensorboard? (run.yaml:3)',
    ],
    [
      'report_to: [all, csv]',
      'report_to: got ["all","csv"], but all stands alone; remove it, or the others (run.yaml:3)',
    ],
    [
      'optim: lion_8bit',
      'optim: got "lion_8bit", which is not supported yet; wanted one of adamw_torch, paged_adamw_32bit, adamw_8bit, ' +
        'paged_adamw_8bit, lion_32bit, paged_lion_32bit, sgd, adamw_torch_fused, adamw, adamw_hf, paged_adamw, ' +
        'adamw_bnb_8bit, lion, paged_lion (run.yaml:3)',
    ],
    [
      'eval_strategy: epoch',
      'eval_strategy: "epoch" needs eval_datasets or val_set_size, which are empty (run.yaml:3)',
    ],
    ['eval_on_start: true', 'eval_on_start: true needs eval_datasets or val_set_size, which are empty (run.yaml:3)'],
    ['bf16: true\nfp16: true', 'bf16: true contradicts fp16: true (run.yaml:4); keep one of the two (run.yaml:3)'],
    ['quantization_bit: 8', 'quantization_bit: got 8, wanted 4 (run.yaml:3)'],
    ['stage: dpo', 'stage: is not supported yet: got "dpo"; remove it, or set "sft" (run.yaml:3)'],
    [
      'task_type: SEQ_CLS',
      'task_type: is not supported yet: got "SEQ_CLS"; remove it, or set "CAUSAL_LM" (run.yaml:3)',
    ],
    ['finetuning_type: freeze', 'finetuning_type: got "freeze", wanted one of lora, full (run.yaml:3)'],
    ['lora_r: 4\nlora_rank: 4', 'lora_rank: says the same as lora_r (run.yaml:3); keep one of the two (run.yaml:4)'],
  ])('%s', (yaml, first) => {
    expect(refused(() => load(`${yaml}\n`))[0]).toBe(first);
  });

  test('all problems of all sources come at once', () => {
    const problems = refused(() =>
      loadTrainConfig({
        file: { path: 'run.yaml', text: 'lora_r: 0\nmethud: lora\n' },
        env: { NIBBLE_SEED: 'x' },
        flags: { lora_alpha: '-1', nonsense_flag: true },
      }),
    );
    expect(problems).toEqual([
      'lora_r: got 0, wanted an integer of at least 1 (run.yaml:1)',
      'methud: unknown key, did you mean method? (run.yaml:2)',
      'seed: got "x", wanted an integer of at least 0 and at most 4294967295 (NIBBLE_SEED)',
      'lora_alpha: got -1, wanted a number above 0 (--lora_alpha)',
      'nonsense_flag: unknown key (--nonsense_flag)',
      'model_name_or_path: is missing; wanted the directory of a Hugging Face model (config.json, safetensors, tokenizer.json), or its name on the hub: ORG/NAME',
      'datasets: is missing; wanted a list of mappings with path',
    ]);
  });

  test('a required setting that is there but wrong is not called missing as well', () => {
    expect(
      refused(() => loadTrainConfig({ flags: { datasets: 'a' }, file: { path: 'f', text: 'base_model: 3' } })),
    ).toEqual(['base_model: got 3, wanted a text (f:1)']);
  });

  test('an estimate needs no data', () => {
    expect(loadTrainConfig({ flags: { model_name_or_path: 'm' } }, 'estimate').values.datasets).toEqual([]);
  });
});

describe('YAML', () => {
  test.each([
    ['lora_r: [1\nseed: 2\n', /^: not valid YAML: .+ \(run\.yaml:[45]\)$/],
    ['seed: 1\nlora_r: 2\nseed: 3\n', /^: seed stands twice; keep one of the two \(run\.yaml:5\)$/],
  ])('%j is refused with its line and nothing else', (yaml, expected) => {
    const problems = refused(() => load(yaml));
    expect(problems[0]).toMatch(expected);
    expect(problems.filter((p) => p.includes('missing'))).toEqual([]);
  });

  test.each(['- a\n- b\n', 'just text', '5'])('%j holds no mapping', (text) => {
    expect(refused(() => loadTrainConfig({ file: { path: 'run.yaml', text } }))).toEqual([
      ': the file holds no mapping, wanted lines of "key: value" (run.yaml:1)',
    ]);
  });

  test('an empty file is an empty mapping, and JSON is YAML', () => {
    expect(refused(() => loadTrainConfig({ file: { path: 'e.yaml', text: '# nothing\n' } }))).toHaveLength(2);
    const text = JSON.stringify({ model_name_or_path: 'm', datasets: [{ path: 'a' }], lora_r: 3 });
    expect(loadTrainConfig({ file: { path: 'c.json', text } }).values.lora_r).toBe(3);
  });

  test('aliases that unfold without end are refused', () => {
    const levels = Array.from(
      { length: 12 },
      (_, i) =>
        `a${i}: &a${i} [${Array(9)
          .fill(i ? `*a${i - 1}` : 'x')
          .join(',')}]`,
    );
    expect(refused(() => load(`${levels.join('\n')}\n`))[0]).toMatch(/not usable YAML: Excessive alias count/);
  });
});

describe('method and load_in_4bit', () => {
  const of = (yaml: string, flags = {}) => {
    const { values, notices } = load(yaml, { flags });
    return { method: values.method, in4bit: values.load_in_4bit, notices: notices.map(line) };
  };

  test('each follows the other', () => {
    expect(of('method: qlora\n')).toEqual({ method: 'qlora', in4bit: true, notices: [] });
    expect(of('load_in_4bit: true\n')).toEqual({ method: 'qlora', in4bit: true, notices: [] });
    expect(of('load_in_4bit: false\n')).toEqual({ method: 'lora', in4bit: false, notices: [] });
    expect(of('method: full\n')).toEqual({ method: 'full', in4bit: false, notices: [] });
    expect(of('method: full\nload_in_4bit: false\n')).toEqual({ method: 'full', in4bit: false, notices: [] });
  });

  test.each([
    ['qlora', false],
    ['lora', true],
    ['full', true],
  ])('method: %s with load_in_4bit: %s is a contradiction', (method, in4bit) => {
    expect(refused(() => load(`method: ${method}\nload_in_4bit: ${in4bit}\n`))).toEqual([
      `method: "${method}" (run.yaml:3) contradicts load_in_4bit: ${in4bit} (run.yaml:4); qlora is lora with ` +
        'load_in_4bit: true, lora and full are without; remove one of the two',
    ]);
  });

  test('a flag takes the other setting of the file along, with a notice', () => {
    const notice = 'load_in_4bit: true (run.yaml:3) gives way to method: "lora" (--method)';
    expect(of('load_in_4bit: true\n', { method: 'lora' })).toEqual({
      method: 'lora',
      in4bit: false,
      notices: [notice],
    });
    expect(of('method: lora\n', { load_in_4bit: true })).toMatchObject({ method: 'qlora', in4bit: true });
  });

  test('a flag for 4 bits does not quietly turn full training into qlora', () => {
    expect(refused(() => load('method: full\n', { flags: { load_in_4bit: true } }))[0]).toMatch(/contradicts/);
  });
});

describe('compute dtype', () => {
  test.each([
    ['bnb_4bit_compute_dtype: bfloat16', 'bfloat16'],
    ['bf16: true', 'float32'],
    ['bf16: auto', 'float32'],
    ['fp16: true', 'float32'],
    ['bf16: true\nbnb_4bit_compute_dtype: bfloat16', 'bfloat16'],
    ['bf16: true\nbnb_4bit_compute_dtype: float32', 'float32'],
  ])('%j waits for the device: float16 where it has it, else float32', (yaml, requested) => {
    const config = load(`method: qlora\n${yaml}\n`);
    expect(config.values).toMatchObject({ float16_if_possible: true, requested_compute_dtype: requested });
    const on = (shaderF16: boolean) => settleComputeDtype(config, { name: 'it', shaderF16 });
    expect(on(true).config.values).toMatchObject({ compute_dtype: 'float16', bf16_as: 'float16' });
    expect(on(false).config.values).toMatchObject({ compute_dtype: 'float32', bf16_as: 'float32' });
    expect(on(false).note).toMatch(/ is computed as float32: it has no float16 \(bf16_as/);
    expect(on(true).note).toMatch(/ is computed as float16 with a loss scale \(bf16_as/);
    for (const has of [true, false]) {
      const { config: settled } = on(has);
      expect(settled.values).toMatchObject({ float16_if_possible: false, requested_compute_dtype: requested });
      expect(settleComputeDtype(settled, { name: 'other', shaderF16: !has })).toEqual({ config: settled, note: null });
      const again = loadTrainConfig({ file: { path: 'again.yaml', text: printConfig(settled) } });
      expect(again.values).toEqual(settled.values);
    }
  });

  test.each(['float32', 'float16'] as const)('a later %s decides over bf16', (dtype) => {
    const { values } = load('bf16: true\n', { flags: { compute_dtype: dtype } });
    expect([values.compute_dtype, values.float16_if_possible]).toEqual([dtype, false]);
  });

  test('null and false ask for nothing', () => {
    expect(load('bf16: false\nfp16:\n').values).toMatchObject({ compute_dtype: 'float32', float16_if_possible: false });
  });

  test.each(['float32', 'float16'])('bf16_as: %s reads it as that, and the run says so', (dtype) => {
    const { values, origins, notices } = load(`method: qlora\nbnb_4bit_compute_dtype: bfloat16\nbf16_as: ${dtype}\n`);
    expect([values.compute_dtype, values.bnb_4bit_compute_dtype, values.bf16_as]).toEqual([dtype, dtype, dtype]);
    expect(origins.compute_dtype.note).toBe('compute_dtype: bfloat16 was asked for, see bf16_as');
    // what a fresh adapter is rounded to; the run's own record asks for it again
    expect(values.requested_compute_dtype).toBe('bfloat16');
    expect(printConfig({ values, origins, notices })).toMatch(/^bnb_4bit_compute_dtype: bfloat16 +# run.yaml:4,/m);
    expect(notices.map(line)).toEqual([`bnb_4bit_compute_dtype: "bfloat16" is computed as ${dtype}, as bf16_as says`]);
  });

  test('its two spellings are one setting', () => {
    const { values, notices } = load('bnb_4bit_compute_dtype: float16\n');
    expect([values.compute_dtype, values.requested_compute_dtype]).toEqual(['float16', 'float16']);
    // it has an effect on a 16-bit base too, so there is no notice
    expect(notices).toEqual([]);
    expect(refused(() => load('bnb_4bit_compute_dtype: float16\ncompute_dtype: float32\n'))[0]).toMatch(
      /two spellings/,
    );
    expect(
      load('compute_dtype: float16\n', { flags: { bnb_4bit_compute_dtype: 'float32' } }).values.compute_dtype,
    ).toBe('float32');
  });
});

describe('notices', () => {
  test('other names are read and named', () => {
    const { values, notices } = load(
      'lora_rank: 3\ncutoff_len: 64\ngroup_by_length: true\nlora_target: all\nwarmup_ratio: 0.03\n',
    );
    expect(values).toMatchObject({ lora_r: 3, max_length: 64, train_sampling_strategy: 'group_by_length' });
    expect(values).toMatchObject({ lora_target_modules: 'all-linear', warmup_steps: 0.03 });
    expect(notices.map(line)).toContain('lora_rank: read as lora_r (run.yaml:3)');
    expect(notices).toHaveLength(5);
  });

  test('spellings of one optimizer become one', () => {
    const { values, notices } = load('optim: adamw_torch_fused\n');
    expect(values.optim).toBe('adamw_torch');
    expect(notices.map(line)).toEqual(['optim: "adamw_torch_fused" is the same formula as adamw_torch']);
    expect(load('optim: adamw_bnb_8bit\n').values.optim).toBe('adamw_8bit');
    expect(load('optim: paged_adamw\n').values.optim).toBe('paged_adamw_32bit');
  });

  test.each([
    ['bnb_4bit_quant_type: fp4', 'method: lora does not quantize the base'],
    ['method: full\nlora_r: 16', 'method: full has no adapter'],
    ['lr_scheduler_type: constant\nwarmup_steps: 5', 'lr_scheduler_type: constant has no warmup'],
    ['num_train_epochs: 2\nmax_steps: 5', 'max_steps is set'],
    ['eval_steps: 5', 'eval_strategy is not steps'],
    ['packing_strategy: wrapped', 'packing is not set'],
  ])('%j has no effect, and says so', (yaml, because) => {
    expect(load(`${yaml}\n`).notices.map(line).join('\n')).toContain(`has no effect: ${because}`);
  });

  test('an adapter to go on with is refused where no adapter is trained', () => {
    expect(refused(() => load('method: full\nadapter_name_or_path: ./a\n'))[0]).toMatch(
      /^adapter_name_or_path: .*trains no adapter/,
    );
  });

  test('eval_steps takes logging_steps where that is set, as in Hugging Face', () => {
    const yaml = 'eval_strategy: steps\neval_datasets: [{path: e}]\n';
    expect(load(yaml).values.eval_steps).toBe(500);
    expect(load(`${yaml}logging_steps: 20\n`).values.eval_steps).toBe(20);
    expect(load(`${yaml}logging_steps: 20\neval_steps: 7\n`).values.eval_steps).toBe(7);
  });
});

describe('numbers that float32 does not hold, in which the GPU computes', () => {
  test.each([
    ['learning_rate: 1e-60', 'learning_rate: got 1e-60, which is 0 in float32'],
    ['adam_epsilon: 1e-50', 'adam_epsilon: got 1e-50, which is 0 in float32'],
    ['learning_rate: 1e40', 'learning_rate: got 1e+40, which is Infinity in float32'],
    ['weight_decay: 3.5e38', 'weight_decay: got 3.5e+38, which is Infinity in float32'],
    ['max_grad_norm: 1e-46', 'max_grad_norm: got 1e-46, which is 0 in float32'],
    ['adam_beta2: 0.99999999999', 'adam_beta2: got 0.99999999999, which is 1 in float32'],
    ['lora_dropout: 0.99999999', 'lora_dropout: got 0.99999999, which is 1 in float32'],
    ['lora_alpha: 1e-40', 'lora_alpha: got 1e-40, which is 0 in float32'],
    ['alpha_pattern: {q_proj: 8, v_proj: 1e300}', 'alpha_pattern.v_proj: got 1e+300, which is Infinity in float32'],
    [
      'lr_scheduler_type: cosine_with_min_lr\nlr_scheduler_kwargs: {min_lr_rate: 1e39}',
      'lr_scheduler_kwargs.min_lr_rate: got 1e+39, which is Infinity in float32',
    ],
    ['compute_dtype: float16\nloss_scale: 1e39', 'loss_scale: got 1e+39, which is Infinity in float32'],
    ['compute_dtype: float16\ngrowth_factor: 1.00000001', 'growth_factor: got 1.00000001, which is 1 in float32'],
  ])('%s', (yaml, message) => {
    const problems = refused(() => load(yaml));
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(message);
    expect(problems[0]).toMatch(/\(run\.yaml:[34]\)/);
  });

  test('0 where it is meant, and the smallest and largest it holds', () => {
    const { values } = load('learning_rate: 0\nadam_epsilon: 1.2e-38\nmax_grad_norm: 3.4e38\nalpha_pattern: {}\n');
    expect(values).toMatchObject({ learning_rate: 0, adam_epsilon: 1.2e-38, max_grad_norm: 3.4e38 });
  });
});
