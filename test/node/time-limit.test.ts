/** Patterns from files and settings that never come to an end: one message that names them. */
import { beforeAll, describe, expect, test } from 'vitest';
import { LORA_DEFAULTS, type LoraConfig } from '../../src/adapters/config.ts';
import { matchTargets } from '../../src/adapters/match.ts';
import { loadDataset } from '../../src/data/dataset.ts';
import { ConfigError, DataError } from '../../src/errors.ts';
import { readSplits } from '../../src/eval/documents.ts';
import { taskOutcome } from '../../src/eval/outcome.ts';
import { prepareTask } from '../../src/eval/task.ts';
import { readTaskFile } from '../../src/eval/task-file.ts';
import { memoryReader } from '../../src/formats/memory.ts';
import { limitTimeBy, withinTime } from '../../src/formats/time-limit.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { skipTest } from '../../src/model/skips.ts';
import { endsInTime } from '../../src/node/time-limit.ts';
import { goldenBytes, rejection } from '../formats/files.ts';

/** The limits themselves are seconds, which a test need not wait. */
beforeAll(() => limitTimeBy((work, limitMs) => endsInTime(work, Math.round(limitMs / 20))));

const MODULE = 'model.layers.0.self_attn.q_proj';
/** Its time doubles with each character of a module's name. */
const ENDLESS = '([a-z_.0-9]+)+!';

function failure(work: () => unknown): Error {
  try {
    work();
  } catch (error) {
    return error as Error;
  }
  throw new Error('did not fail');
}

describe('a pattern of an adapter', () => {
  const base = {
    modules: [{ kind: 'linear', name: MODULE, out: 8, in: 8, bias: false } as const],
    inputEmbedding: 'model.embed_tokens',
    outputEmbedding: 'lm_head',
    tied: false,
    defaultTargets: ['q_proj'],
  };
  const members: Record<string, Partial<LoraConfig>> = {
    target_modules: { target_modules: ENDLESS },
    exclude_modules: { exclude_modules: ENDLESS },
    rank_pattern: { rank_pattern: { q_proj: 2, [ENDLESS]: 4 } },
    alpha_pattern: { alpha_pattern: { [ENDLESS]: 4 } },
    layers_pattern: { layers_pattern: ENDLESS, layers_to_transform: [0] },
    modules_to_save: { modules_to_save: [ENDLESS] },
    // no group repeats here: a polynomial of a high degree
    'target_modules, flat': { target_modules: `${'.*'.repeat(14)}!` },
  };

  test.each(Object.entries(members))('%s', (name, config) => {
    const error = failure(() => matchTargets({ ...LORA_DEFAULTS, ...config }, base));
    expect(error).toBeInstanceOf(ConfigError);
    const pattern = name.includes('flat') ? '.*.*' : ENDLESS;
    expect(error.message).toMatch(new RegExp(`^${name.split(',')[0]}: `));
    expect(error.message).toContain(pattern);
    expect(error.message).toContain('takes more than 5 s on the names of the modules');
    expect((error as ConfigError).problems).toHaveLength(1);
  });

  test('that ends is not touched, and other errors pass through', () => {
    expect(matchTargets({ ...LORA_DEFAULTS, target_modules: '.*q_proj' }, base).map(({ name }) => name)).toEqual([
      MODULE,
    ]);
    expect(
      failure(() =>
        withinTime(
          200_000,
          () => JSON.parse('{'),
          () => new Error('late'),
        ),
      ),
    ).toBeInstanceOf(SyntaxError);
  });
});

test('a pattern of llm_int8_skip_modules', () => {
  const { message } = failure(() => skipTest(['lm_head', ENDLESS], ['lm_head', MODULE]));
  expect(message).toContain(`"${ENDLESS}" takes more than 5 s on the names of the modules`);
  // one that only another module than those known before meets
  const isSkipped = skipTest(['(a+)+', 'lm_head'], ['a', 'lm_head']);
  expect(failure(() => isSkipped(`${'a'.repeat(40)}!`)).message).toContain('takes more than 5 s');
});

describe('a pattern of tokenizer.json', () => {
  const json = JSON.parse(new TextDecoder().decode(goldenBytes('tokenizer/tokenizer.json'))) as object;
  const Regex = '(a+)+$';
  const parts: Record<string, object> = {
    'pre_tokenizer: Split': {
      pre_tokenizer: { type: 'Split', pattern: { Regex }, behavior: 'Isolated', invert: false },
    },
    'normalizer: Replace': { normalizer: { type: 'Replace', pattern: { Regex }, content: 'b' } },
    'one whose alternatives overlap': {
      pre_tokenizer: { type: 'Split', pattern: { Regex: '(?:a|aa)+$' }, behavior: 'Removed', invert: true },
    },
  };
  const given = (changed: object) =>
    loadTokenizer(memoryReader(new Map([['tokenizer.json', JSON.stringify({ ...json, ...changed })]])));
  const text = `${'a'.repeat(60)}!`;

  test.each(Object.entries(parts))('%s', async (_, part) => {
    const tokenizer = await given(part);
    expect(tokenizer.encode('b').length).toBeGreaterThan(0);
    const error = failure(() => tokenizer.encode(text));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toMatch(
      /^memory\/tokenizer\.json: is given a text of 61 characters, and its patterns took more/,
    );
  });

  test('decoder: Replace', async () => {
    const replace = { type: 'Replace', pattern: { Regex }, content: 'b' };
    const tokenizer = await given({ decoder: { type: 'Sequence', decoders: [{ type: 'Fuse' }, replace] } });
    expect(failure(() => tokenizer.decode(tokenizer.encode(text))).message).toContain('its patterns took more than');
  });
});

describe('a chat template', () => {
  const render = async (template: string) => {
    const files = new Map([
      ['rows.jsonl', '{"messages": [{"role": "user", "content": "a"}]}\n'],
      ['tokenizer.json', new TextDecoder().decode(goldenBytes('tokenizer/tokenizer.json'))],
    ]);
    const reader = memoryReader(files);
    const chat = { templates: new Map([['default', template]]), place: 'a.jinja', now: new Date(0) };
    const options = {
      vocabSize: 32_000,
      maxLength: null,
      maxPositions: 512,
      tokenizer: await loadTokenizer(reader),
      chat,
    };
    return rejection(loadDataset(reader, [{ path: 'rows.jsonl' }], options));
  };

  test('that never ends', async () => {
    const loops = '{% set many = range(100000) %}{% for i in many %}{% for j in many %}{% endfor %}{% endfor %}';
    const error = await render(loops);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('rows.jsonl:1: the chat template cannot be rendered (it takes more than 10 s');
  });

  // where Jinja's own sandbox stops, long before memory is full
  test.each(['1000000000', '100001', '0, -200002, -2'])('that asks for range(%s)', async (numbers) => {
    expect((await render(`{% for i in range(${numbers}) %}{% endfor %}`)).message).toContain(
      'range() has more than the 100000 numbers',
    );
  });
});

describe('a task', () => {
  const YAML = `task: t
dataset_path: json
dataset_kwargs: {data_files: rows.jsonl}
test_split: train
output_type: generate_until
doc_to_text: q
doc_to_target: a
`;
  const prepared = async (more: string) => {
    const reader = memoryReader(
      new Map([
        ['t.yaml', more.includes('doc_to_text') ? YAML.replace('doc_to_text: q\n', more) : YAML + more],
        ['rows.jsonl', '{"q": "Is it?", "a": "no"}\n'],
      ]),
    );
    const file = await readTaskFile(reader, 't.yaml');
    const splits = await readSplits(file.fields, reader, async (path) => path);
    return prepareTask(file, splits, { limit: null, numFewshot: null, fewshotSeed: 1 });
  };
  const judge = async (filter: string) => {
    const list = `filter_list: [{name: x, filter: [${filter}, {function: take_first}]}]\n`;
    const placed = { task: await prepared(list), places: [[{ kind: 'texts', numbers: [0] } as const]] };
    return failure(() => taskOutcome(placed, { scores: [], texts: [`${'a'.repeat(60)}!`] }, 0));
  };

  test('whose template never ends', async () => {
    const loops = '{% set many = range(100000) %}{% for i in many %}{% for j in many %}{% endfor %}{% endfor %}';
    const error = await rejection(prepared(`doc_to_text: "${loops}"\n`));
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('rows.jsonl:1: doc_to_text cannot be rendered (it takes more than 10 s');
  });

  test.each([
    ["{function: regex, regex_pattern: '(a+)+$'}", 'it takes more than 10 s'],
    ['{function: regex, regex_pattern: a, group_select: 99}', 'group_select 99 of 60 matches is not there'],
  ])('whose filter %s fails on an answer', async (filter, why) => {
    const error = await judge(filter);
    expect(error).toBeInstanceOf(DataError);
    expect(error.message).toContain('rows.jsonl:1: the filter x cannot judge the answer to it');
    expect(error.message).toContain(why);
  });
});
