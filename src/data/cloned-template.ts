/** What else TRL takes from a tokenizer's directory whose chat template it takes: tokens of its own, and its EOS. */
import { show } from '../config/show.ts';
import { ConfigError } from '../errors.ts';
import { isObject, readObject } from '../formats/json.ts';
import type { FileReader } from '../formats/reader.ts';
import { loadTokenizer, type TextTokenizer, TOKENIZER_FILE } from '../formats/tokenizer.ts';
import type { ChatSource } from './chat-source.ts';

/**
 * TRL's clone_chat_template adds the tokens of the directory to the model's vocabulary, resizes the embedding and makes its EOS the
 * model's. nibble changes no vocabulary, so a template that needs either is refused.
 * @returns notes on what is not taken @throws ConfigError
 */
export async function checkClonedTemplate(
  source: FileReader,
  { templates }: ChatSource,
  tokenizer: TextTokenizer,
): Promise<string[]> {
  if (!(await source.exists(TOKENIZER_FILE))) return [];
  const text = [...templates.values()].join('\n');
  const refuse = (message: string): never => {
    throw new ConfigError([{ path: 'chat_template_path', message: `${source.root} ${message}` }]);
  };
  const own = tokenizer.specialTokens.get('eos_token');
  const theirs = (await loadTokenizer(source)).specialTokens.get('eos_token');
  const writesEos = /\beos_token\b/.test(text);
  const isWritten = (token: string): boolean => text.includes(token) || (writesEos && token === theirs);
  const lacking = (await addedTokens(source)).filter((token) => isWritten(token) && !isToken(token, tokenizer));
  if (lacking.length > 0)
    refuse(
      `writes ${lacking.map(show).join(', ')}, which the model's vocabulary lacks; TRL adds such tokens and resizes the embedding, nibble changes ` +
        'no vocabulary: give a template of tokens that the model has, or a model that was resized (resize_token_embeddings)',
    );
  if (theirs === undefined || theirs === own) return [];
  if (writesEos)
    refuse(
      `has the EOS ${show(theirs)}, which TRL makes the model's and its template writes; the model has ${own === undefined ? 'none' : show(own)}: name ${show(theirs)} as ` +
        "eos_token in the model's tokenizer_config.json, or give the template as a .jinja file to have it write the model's",
    );
  return [
    `chat_template_path: TRL makes ${show(theirs)} the EOS as well, nibble keeps ${own === undefined ? 'none' : show(own)}; ` +
      "where the first ends an answer, name it as eos_token in the model's tokenizer_config.json",
  ];
}

/** Tokens that the files of a tokenizer name beside its vocabulary. */
async function addedTokens(source: FileReader): Promise<string[]> {
  const listed = (await readObject(source, TOKENIZER_FILE)).added_tokens;
  const entries: unknown[] = Array.isArray(listed) ? listed : [];
  return entries.flatMap((entry) => (isObject(entry) && typeof entry.content === 'string' ? [entry.content] : []));
}

function isToken(text: string, tokenizer: TextTokenizer): boolean {
  const ids = tokenizer.encode(text, { addSpecialTokens: false });
  return ids.length === 1 && tokenizer.decode(ids).trim() === text.trim();
}
