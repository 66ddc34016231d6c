/** Files beside weights and config.json that a model needs to be used elsewhere. */
import { type FileReader, type FileWriter, place, writeText } from './reader.ts';

/** Names that some tokenizer class of transformers 5.24 reads, and chat templates. */
const TOKENIZER: readonly RegExp[] = [
  /^(tokenizer.*|tekken|special_tokens_map|added_tokens|chat_template|normalizer)\.(json|model|jinja)$/,
  /^(vocab(-src|-tgt)?|target_vocab|entity_vocab|word_shape|word_pronunciation|emoji|byte_maps)\.(json|txt)$/,
  /^(merges|dict)\.txt$/,
  /^(spiece|spm|spm_char|sentencepiece|sentencepiece\.bpe)\.model$/,
  /^((source|target)\.spm|bpe\.codes|prophetnet\.tokenizer|.*\.tiktoken|tiktoken\.model)$/,
];

/** These, those that processors read, how to generate, and the terms of the model. */
const COMPANIONS: readonly RegExp[] = [
  ...TOKENIZER,
  /^generation_config\.json$/,
  /^(preprocessor|processor|video_preprocessor|audio_tokenizer)_config\.json$/,
  /^(LICENSE|NOTICE|USE_POLICY)(\.\w+)?$/i,
];

/** Further templates by name, beside chat_template.jinja: the one folder that a tokenizer reads. */
const TEMPLATES = 'additional_chat_templates';

type Templates = ReadonlyMap<string, string> | null;

const CHUNK_BYTES = 2 ** 20;

/**
 * Copies a model's companions byte for byte, but none that is a link to somewhere else: who publishes a model would publish
 * that file, too. `note` is told of each. `templates` (texts by file) take the place of the model's chat templates.
 * @returns the names of the copied, sorted
 */
export function copyCompanions(
  from: FileReader,
  to: FileWriter,
  note: (text: string) => void,
  templates: Templates = null,
): Promise<string[]> {
  return copyNamed(COMPANIONS, from, to, note, templates);
}

/** Copies the files of the tokenizer alone, likewise. */
export function copyTokenizer(
  from: FileReader,
  to: FileWriter,
  note: (text: string) => void,
  templates: Templates = null,
): Promise<string[]> {
  return copyNamed(TOKENIZER, from, to, note, templates);
}

/** Views a model's folder with the tokenizer of another one in place of its own: all of its files, and none that are mixed. */
export function withTokenizerOf(model: FileReader, other: FileReader): FileReader {
  const isTokenizer = (file: string): boolean =>
    TOKENIZER.some((name) => name.test(file)) || file.startsWith(`${TEMPLATES}/`);
  const of = (file: string): FileReader => (isTokenizer(file) ? other : model);
  return {
    root: model.root,
    exists: (file) => of(file).exists(file),
    size: (file) => of(file).size(file),
    read: (file, offset, into) => of(file).read(file, offset, into),
    readText: (file) => of(file).readText(file),
    list: async (folder) => {
      if (folder !== undefined) return (folder === TEMPLATES ? other : model).list(folder);
      const own = (await model.list()).filter((file) => !isTokenizer(file));
      return [...own, ...(await other.list()).filter(isTokenizer)].sort();
    },
    straysTo: (file) => of(file).straysTo(file),
  };
}

/** Bytes of the files that `copyTokenizer` copies, links out of the folder included. */
export async function tokenizerBytes(from: FileReader): Promise<number> {
  const sizes = (await filesOf(TOKENIZER, from)).map((file) => from.size(file));
  return (await Promise.all(sizes)).reduce((sum, bytes) => sum + bytes, 0);
}

/** Whether a path in a model's folder is one of those. */
export const isCompanion = (path: string): boolean => isNamed(COMPANIONS, path);
/** Whether it is one of a tokenizer. */
export const isTokenizerFile = (path: string): boolean => isNamed(TOKENIZER, path);

function isNamed(wanted: readonly RegExp[], path: string): boolean {
  const isTemplate = path.startsWith(`${TEMPLATES}/`) && path.endsWith('.jinja') && path.split('/').length === 2;
  return isTemplate || wanted.some((companion) => companion.test(path));
}

async function filesOf(wanted: readonly RegExp[], from: FileReader): Promise<string[]> {
  const beside = (await from.list()).filter((name) => wanted.some((companion) => companion.test(name)));
  const templates = (await from.list(TEMPLATES)).filter((name) => name.endsWith('.jinja'));
  return [...beside, ...templates.map((name) => `${TEMPLATES}/${name}`)].sort();
}

async function copyNamed(
  wanted: readonly RegExp[],
  from: FileReader,
  to: FileWriter,
  note: (text: string) => void,
  templates: Templates,
): Promise<string[]> {
  const copied: string[] = [];
  for (const file of await filesOf(wanted, from)) {
    if (templates !== null && file.endsWith('.jinja')) continue;
    const elsewhere = await from.straysTo(file);
    if (elsewhere !== null) {
      note(`${place(from, file)} is a link out of the model's folder, to ${elsewhere}, and is not copied`);
      continue;
    }
    await to.write(file, contentOf(from, file));
    copied.push(file);
  }
  for (const [file, text] of templates ?? []) await writeText(to, file, text);
  return copied;
}

async function* contentOf(reader: FileReader, file: string): AsyncGenerator<Uint8Array> {
  const size = await reader.size(file);
  for (let first = 0; first < size; first += CHUNK_BYTES) {
    const chunk = new Uint8Array(Math.min(CHUNK_BYTES, size - first));
    await reader.read(file, first, chunk);
    yield chunk;
  }
}
