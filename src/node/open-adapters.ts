/** Adapters that are put on one model side by side. */
import { type Adapter, checkOwnEmbeddings, openAdapter } from '../adapters/files.ts';
import type { FileReader } from '../formats/reader.ts';
import { adapterBase } from '../model/adapter-base.ts';
import type { OpenedModel } from '../model/open.ts';
import { otherBaseNotes } from './adapter-names.ts';
import type { NamedFolder } from './prompts.ts';

/**
 * Opens adapters and holds each against the model; what a person should know goes into `notes`.
 * @param name what the model was called
 * @throws DataError for one that does not fit
 */
export async function openAdapters(
  folders: readonly NamedFolder[],
  { model, source, name }: Pick<OpenedModel, 'model' | 'source'> & { readonly name: string },
  readerOf: (directory: string) => FileReader,
  notes: string[],
): Promise<Adapter[]> {
  const adapters: Adapter[] = [];
  for (const folder of folders) {
    const adapter = await openAdapter(readerOf(folder.directory), adapterBase(model));
    await checkOwnEmbeddings(adapter, source);
    for (const note of [...adapter.notes, ...otherBaseNotes(adapter, folder, name)]) notes.push(note);
    adapters.push(adapter);
  }
  return adapters;
}
