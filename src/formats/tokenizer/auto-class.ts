/** Which class AutoTokenizer of transformers 5.24 opens a tokenizer with. Some follow tokenizer.json, others are rebuilt. */

import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';
import { isObject } from '../json.ts';
import type { TokenizerFiles } from './files.ts';
import { NotFollowed } from './read.ts';

/** Follows tokenizer.json in everything. */
export const BACKEND = 'TokenizersBackend';
/** Take the vocabulary, the merges and the post-processor of tokenizer.json, and have the rest of their own. */
export const REBUILT = [
  'LlamaTokenizer',
  'GemmaTokenizer',
  'Qwen2Tokenizer',
  'GPT2Tokenizer',
  'GPTNeoXTokenizer',
] as const;
export type RebuiltClass = (typeof REBUILT)[number];
export type TokenizerClass = typeof BACKEND | RebuiltClass;

/** transformers' class by model_type. MistralCommonBackend, where mistral-common is installed, is not followed. */
const CLASS_OF_MODEL: { readonly [modelType: string]: TokenizerClass } = {
  gemma: 'GemmaTokenizer',
  mistral: BACKEND,
  olmo2: BACKEND,
  phi3: BACKEND,
  qwen2: 'Qwen2Tokenizer',
  qwen3: 'Qwen2Tokenizer',
};
/** Model types whose tokenizer_class transformers does not believe. */
const CLASS_OVERRULED = ['phi3', 'qwen2'];

/** Other classes of transformers 5.24 that do not follow tokenizer.json. A name that transformers does not know does. */
const NOT_FOLLOWED = new Set(
  `Albert Bart Barthez Bartpho BertGeneration BertJapanese Bert BertLegacy Bertweet BigBird BioGpt Blenderbot BlenderbotSmall ByT5
  CLIP CTRL Camembert Canine Clvp CodeGen CodeLlama Cohere ConvBert CpmAnt Cpm DPRContextEncoder DPRQuestionEncoder DPRReader
  Deberta DebertaV2 Dia DistilBert Electra Esm Esmc FNet FSMT FastSpeech2Conformer Flaubert Funnel GPTNeoXJapanese GPTSw3 Herbert
  LED Lasr LayoutLM LayoutLMv2 LayoutLMv3 LayoutXLM Longformer Luke Lxmert M2M100 MBart MBart50 MLuke MPNet Marian MarkupLM Mgpstr
  MobileBert Mvp MyT5 Nllb Nougat OpenAIGPT PLBart Parakeet Pegasus Perceiver Phobert ProphetNet Qwen3_5 Reformer RemBert RoCBert
  RoFormer Roberta SeamlessM4T Siglip Siglip2 Speech2Text SpeechT5 Splinter SqueezeBert T5 Tapas Tipsv2 Udop VideoPrism Vits
  Wav2Vec2CTC Wav2Vec2PhonemeCTC Whisper XGLM XLM XLMRoberta XLNet`
    .split(/\s+/)
    .map((name) => (name === 'BertLegacy' ? 'BertTokenizerLegacy' : `${name}Tokenizer`)),
);

/** @throws DataError for a class that nibble does not follow */
export function tokenizerClassOf(files: TokenizerFiles): TokenizerClass {
  const modelType = typeof files.model.model_type === 'string' ? files.model.model_type : '';
  const ofModel = Object.hasOwn(CLASS_OF_MODEL, modelType) ? CLASS_OF_MODEL[modelType]! : null;
  const overruled = CLASS_OVERRULED.includes(modelType);
  if (!overruled) refuseCode(files);
  const declared = declaredClass(files);
  if (declared === null) return ofModel ?? BACKEND;
  const name = declared.replace(/Fast$/, '');
  if (name === 'LlamaTokenizer' && !overruled && hasByteLevel(files.tokenizer)) return BACKEND;
  if (ofModel === BACKEND) return BACKEND;
  if (ofModel !== null && overruled) return ofModel;
  if (NOT_FOLLOWED.has(name))
    throw new NotFollowed(
      files.places.config,
      `tokenizer_class is ${show(declared)}, which transformers builds otherwise than tokenizer.json says`,
    );
  return REBUILT.find((rebuilt) => rebuilt === name) ?? BACKEND;
}

function declaredClass({ config, model, places }: TokenizerFiles): string | null {
  const [value, file] =
    (config.tokenizer_class ?? null) === null
      ? [model.tokenizer_class, places.model]
      : [config.tokenizer_class, places.config];
  if ((value ?? null) === null || value === '') return null;
  if (typeof value === 'string') return value;
  throw new DataError(file, `tokenizer_class is ${show(value)}, needs a string.`);
}

/** A tokenizer that is code, of which transformers asks whether it is trusted. */
function refuseCode({ config, places }: TokenizerFiles): void {
  const map = config.auto_map;
  const code = isObject(map) ? map.AutoTokenizer : map;
  if ((code ?? null) === null) return;
  throw new NotFollowed(places.config, `auto_map is ${show(map)}: the tokenizer is Python code`);
}

/** transformers looks for the word in the file, wherever it stands. */
function hasByteLevel(value: unknown): boolean {
  if (value === 'ByteLevel') return true;
  if (Array.isArray(value)) return value.some(hasByteLevel);
  // a vocabulary is large and holds numbers; its own keys count as the file's words do
  return isObject(value) && (Object.hasOwn(value, 'ByteLevel') || Object.values(value).some(hasByteLevel));
}
