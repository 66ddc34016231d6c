#!/usr/bin/env node
/** Writes tokenizer.json and tokenizer_config.json of the tiny model. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { mobyDickChapters } from '#dist/bench/builtin-data.js';
import { readArguments } from '../../../shared/options.mjs';
import { trainBpe } from './bpe.mjs';

const VOCAB_SIZE = 1024;
const MAX_LENGTH = 512;
const SPECIAL = ['<|bos|>', '<|eos|>', '<|pad|>'];

const USAGE =
  'usage: node bench/models/tiny/make/tokenizer.mjs [FOLDER]   FOLDER is the model itself where none is given';
const folder = readArguments(USAGE, {}).positionals[0] ?? fileURLToPath(new URL('../', import.meta.url));
mkdirSync(folder, { recursive: true });
const text = (await mobyDickChapters('train')).join('\n');
const bpe = trainBpe(text, VOCAB_SIZE - SPECIAL.length - 256);
writeFileSync(join(folder, 'tokenizer.json'), `${JSON.stringify(tokenizer(bpe), null, 2)}\n`);
writeFileSync(join(folder, 'tokenizer_config.json'), `${JSON.stringify(config(), null, 2)}\n`);

/**
 * The file format of the tokenizers library: a BOS goes in front of every text, as with Llama.
 * @param {ReturnType<typeof trainBpe>} bpe
 */
function tokenizer({ tokens, merges }) {
  const [bos] = SPECIAL;
  const token = (/** @type {string} */ id) => ({ SpecialToken: { id, type_id: 0 } });
  const sequence = (/** @type {string} */ id, /** @type {number} */ type_id) => ({ Sequence: { id, type_id } });
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIAL.map((content, id) => ({
      id,
      content,
      single_word: false,
      lstrip: false,
      rstrip: false,
      normalized: false,
      special: true,
    })),
    normalizer: null,
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    post_processor: {
      type: 'TemplateProcessing',
      single: [token(bos), sequence('A', 0)],
      pair: [token(bos), sequence('A', 0), token(bos), sequence('B', 1)],
      special_tokens: { [bos]: { id: bos, ids: [0], tokens: [bos] } },
    },
    decoder: { type: 'ByteLevel', add_prefix_space: true, trim_offsets: true, use_regex: true },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: null,
      end_of_word_suffix: null,
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...SPECIAL, ...tokens].map((entry, id) => [entry, id])),
      merges,
    },
  };
}

function config() {
  const [bos_token, eos_token, pad_token] = SPECIAL;
  return {
    tokenizer_class: 'PreTrainedTokenizerFast',
    bos_token,
    eos_token,
    pad_token,
    clean_up_tokenization_spaces: false,
    model_max_length: MAX_LENGTH,
  };
}
