/** The classes of transformers 5.24 that put a pipeline of their own around a file's vocabulary and merges. */

import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject, type JsonObject } from '../json.ts';
import type { RebuiltClass } from './auto-class.ts';
import type { TokenizerFiles } from './files.ts';
import { NotFollowed } from './read.ts';

/** Named special tokens that a class has where the files name none. */
export const DEFAULT_TOKENS: Readonly<Record<RebuiltClass, Readonly<Record<string, string>>>> = {
  LlamaTokenizer: { unk_token: '<unk>', bos_token: '<s>', eos_token: '</s>' },
  GemmaTokenizer: {
    unk_token: '<unk>',
    bos_token: '<bos>',
    eos_token: '<eos>',
    pad_token: '<pad>',
    mask_token: '<mask>',
  },
  Qwen2Tokenizer: { unk_token: '<|endoftext|>', eos_token: '<|endoftext|>', pad_token: '<|endoftext|>' },
  GPT2Tokenizer: { unk_token: '<|endoftext|>', bos_token: '<|endoftext|>', eos_token: '<|endoftext|>' },
  GPTNeoXTokenizer: {
    unk_token: '<|endoftext|>',
    bos_token: '<|endoftext|>',
    eos_token: '<|endoftext|>',
    pad_token: '<|padding|>',
  },
};

const QWEN2_PATTERN = String.raw`(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`;
const BYTE_LEVEL = { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true };
const NO_AFFIXES = { continuing_subword_prefix: '', end_of_word_suffix: '' };
const META = '\u2581';

/** tokenizer.json as the class would have written it: no added tokens, which its caller adds. @throws DataError */
export function rebuilt(name: RebuiltClass, files: TokenizerFiles): JsonObject {
  const { tokenizer, places } = files;
  const model = tokenizer.model;
  if (!isObject(model) || model.type !== 'BPE')
    throw new NotFollowed(
      places.tokenizer,
      `model.type is ${show(isObject(model) ? model.type : model)}, and ${name} of transformers makes a BPE model of it`,
    );
  const { normalizer, pre_tokenizer, decoder, ...settings } = PARTS[name](files);
  const { vocab, merges } = model;
  return {
    version: tokenizer.version ?? '1.0',
    normalizer,
    pre_tokenizer,
    post_processor: name === 'GPTNeoXTokenizer' ? null : (tokenizer.post_processor ?? null),
    decoder,
    model: { type: 'BPE', vocab, merges, ...settings },
  };
}

type Parts = { normalizer: JsonObject | null; pre_tokenizer: JsonObject; decoder: JsonObject } & JsonObject;

const PARTS: Readonly<Record<RebuiltClass, (files: TokenizerFiles) => Parts>> = {
  LlamaTokenizer: llama,
  GemmaTokenizer: (files) => ({
    normalizer: { type: 'Replace', pattern: { String: ' ' }, content: META },
    pre_tokenizer: { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
    decoder: { type: 'Sequence', decoders: META_DECODERS },
    unk_token: tokenText(files, 'unk_token', DEFAULT_TOKENS.GemmaTokenizer.unk_token!),
    fuse_unk: true,
    byte_fallback: true,
  }),
  Qwen2Tokenizer: (files) => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: QWEN2_PATTERN }, behavior: 'Isolated', invert: false },
        { ...BYTE_LEVEL, add_prefix_space: flagOrNull(files, 'add_prefix_space') ?? false, use_regex: false },
      ],
    },
    decoder: BYTE_LEVEL,
    ...NO_AFFIXES,
  }),
  GPT2Tokenizer: (files) => ({
    normalizer: null,
    pre_tokenizer: { ...BYTE_LEVEL, add_prefix_space: flagOrNull(files, 'add_prefix_space') ?? false },
    decoder: BYTE_LEVEL,
    ...NO_AFFIXES,
  }),
  GPTNeoXTokenizer: (files) => ({
    normalizer: { type: 'NFC' },
    pre_tokenizer: { ...BYTE_LEVEL, add_prefix_space: flagOrNull(files, 'add_prefix_space') ?? false },
    decoder: BYTE_LEVEL,
    ...NO_AFFIXES,
  }),
};

const META_DECODERS: readonly JsonObject[] = [
  { type: 'Replace', pattern: { String: META }, content: ' ' },
  { type: 'ByteFallback' },
  { type: 'Fuse' },
];

function llama(files: TokenizerFiles): Parts {
  const prefixed = flagOrNull(files, 'add_prefix_space') ?? true;
  const legacy = flagOrNull(files, 'legacy') ?? false;
  const scheme = !prefixed ? 'never' : legacy ? 'always' : 'first';
  const strip = { type: 'Strip', content: ' ', start: 1, stop: 0 };
  return {
    normalizer: null,
    pre_tokenizer: { type: 'Metaspace', replacement: META, prepend_scheme: scheme, split: false },
    decoder: { type: 'Sequence', decoders: prefixed ? [...META_DECODERS, strip] : META_DECODERS },
    fuse_unk: true,
    byte_fallback: true,
  };
}

function flagOrNull({ config, places }: TokenizerFiles, key: string): boolean | null {
  const value = config[key] ?? null;
  if (value === null || typeof value === 'boolean') return value;
  throw new DataError(places.config, `${key} is ${show(value)}, needs true, false or null.`);
}

function tokenText({ config }: TokenizerFiles, key: string, byDefault: string): string {
  const token = config[key];
  if (isObject(token)) return typeof token.content === 'string' ? token.content : byDefault;
  return typeof token === 'string' ? token : byDefault;
}

/** What of a rebuilt pipeline is not what tokenizer.json asks for, by its keys. */
export function differences(file: JsonObject, built: JsonObject): string[] {
  const keys = ['normalizer', 'pre_tokenizer', 'post_processor'].filter(
    (key) => canonical(file[key]) !== canonical(built[key]),
  );
  const [ofFile, ofBuilt] = [file.model, built.model].map((model) => (isObject(model) ? model : {}));
  const flags = [
    'unk_token',
    'fuse_unk',
    'byte_fallback',
    'ignore_merges',
    'continuing_subword_prefix',
    'end_of_word_suffix',
  ];
  const differing = flags.filter((key) => canonical(ofFile![key]) !== canonical(ofBuilt![key]));
  return [...keys, ...differing.map((key) => `model.${key}`)];
}

/** Keys that change no id; null, false and the empty string are the same as nothing. */
const WITHOUT_EFFECT = ['trim_offsets', 'str_rep'];

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  if (!isObject(value))
    return value === undefined || value === null || value === false || value === '' ? '' : JSON.stringify(value);
  const entries = Object.keys(value)
    .filter((key) => !WITHOUT_EFFECT.includes(key) && canonical(value[key]) !== '')
    .sort();
  return `{${entries.map((key) => `${key}:${canonical(value[key])}`).join()}}`;
}
