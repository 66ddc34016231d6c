/** Files beside weights and config.json that a model needs to be used elsewhere. */
import { type FileReader, type FileWriter, place } from './reader.ts';

/** Tokenizers in all their forms, chat templates, defaults of generation, and the terms the model comes under. */
const COMPANION =
  /^(generation_config\.json|tokenizer.*\.(json|model)|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt|chat_template\.(jinja|json)|spiece\.model|(LICENSE|NOTICE|USE_POLICY)(\.\w+)?)$/i;

const CHUNK_BYTES = 2 ** 20;

/**
 * Copies a model's companions byte for byte, but none that is a link to somewhere else: who publishes a model would publish
 * that file, too. `note` is told of each. @returns the names of the copied, sorted
 */
export async function copyCompanions(
  from: FileReader,
  to: FileWriter,
  note: (text: string) => void,
): Promise<string[]> {
  const files = (await from.list()).filter((name) => COMPANION.test(name));
  const copied: string[] = [];
  for (const file of files) {
    const elsewhere = await from.straysTo(file);
    if (elsewhere !== null) {
      note(`${place(from, file)} is a link out of the model's folder, to ${elsewhere}, and is not copied`);
      continue;
    }
    await to.write(file, contentOf(from, file));
    copied.push(file);
  }
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
