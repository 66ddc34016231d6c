/** Tokenizer and chat template of a merged model: those that its adapter was trained with, where its folder has them. */
import { readChatTemplates, templateFiles } from '../../data/chat-source.ts';
import { withTokenizerOf } from '../../formats/companions.ts';
import { type FileReader, place } from '../../formats/reader.ts';
import { openTokenizer, TOKENIZER_FILE } from '../../formats/tokenizer.ts';
import type { Companions } from '../quantize/checkpoint.ts';

/**
 * Takes the adapter's tokenizer where it differs from the base's, and its chat templates likewise.
 * @param notes is told of each
 * @throws DataError for a tokenizer with more tokens than the model has
 */
export async function adaptedCompanions(
  base: FileReader,
  adapter: FileReader,
  vocabSize: number,
  notes: string[],
): Promise<Companions> {
  const isOther = await hasOther(base, adapter, TOKENIZER_FILE);
  const reader = isOther ? withTokenizerOf(base, adapter) : base;
  if (isOther) {
    await openTokenizer(reader, vocabSize);
    notes.push(`the tokenizer is the adapter's (${place(adapter, TOKENIZER_FILE)}), which differs from the base's`);
  }
  const own = await readChatTemplates(adapter);
  if (own === null) return { reader, templates: null };
  const theirs = await readChatTemplates(base);
  const isSame = JSON.stringify([...own.templates]) === JSON.stringify([...(theirs?.templates ?? [])]);
  if (!isSame) notes.push(`the chat template is the adapter's (${own.place}), which differs from the base's`);
  return { reader, templates: isSame ? null : templateFiles(own) };
}

async function hasOther(base: FileReader, adapter: FileReader, file: string): Promise<boolean> {
  if (!(await adapter.exists(file))) return false;
  return !(await base.exists(file)) || (await base.readText(file)) !== (await adapter.readText(file));
}
