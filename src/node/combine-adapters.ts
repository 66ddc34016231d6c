/** combineAdapters(): writes the weighted sum of adapters as an adapter of its own. */
import { type CombineSettings, combineAdapters, type WeightedAdapter } from '../adapters/combine.ts';
import { asInFile, openAdapter, saveAdapter } from '../adapters/files.ts';
import { adapterTensors } from '../adapters/layout.ts';
import { storedValues } from '../adapters/start-values.ts';
import type { HubConfig } from '../config/hub.ts';
import { ConfigError, KernelCallError } from '../errors.ts';
import { elementCount } from '../formats/dtype.ts';
import { readModelConfig } from '../formats/hf-config.ts';
import { adapterBase } from '../model/adapter-base.ts';
import { modelOfAdapter } from './adapter-model.ts';
import type { CallOptions, WorkEvent } from './call.ts';
import { type FreeBytes, freeBytesAt, requireRoom } from './disk.ts';
import { nodeReader, nodeWriter } from './files.ts';
import { adapterFolder } from './hub-folders.ts';
import { requireMovable, takeFolder } from './output-folder.ts';
import { writeBeside } from './write-beside.ts';

export type CombineEvent = WorkEvent<'download'>;

export type CombineJob = {
  readonly out: string;
  readonly adapters: readonly { readonly directory: string; readonly weight: number }[];
  /** Directory of the base, of which config.json is read; that of the first adapter where it is left out. */
  readonly model?: string | undefined;
  readonly settings: CombineSettings & HubConfig;
  /** What messages call the options. */
  readonly names: { readonly out: string; readonly adapter: string; readonly model: string };
};

/** Summary of what was written, as `nibble adapters combine --json` prints it. */
export type CombineSummary = {
  readonly out: string;
  readonly model: string;
  readonly adapters: readonly { readonly adapter: string; readonly weight: number }[];
  readonly combination_type: CombineSettings['combination_type'];
  readonly r: number;
  readonly targets: number;
  readonly bytes: number;
};

/**
 * Writes the sum into a new folder; one that ends early leaves nothing. @param freeBytes injected by tests
 * @throws ConfigError for adapters that cannot be added; DataError for files that cannot be read or written
 */
export async function combineFolders(
  { out, adapters, model: given, settings, names }: CombineJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<CombineEvent>,
  freeBytes: FreeBytes = freeBytesAt,
): Promise<CombineSummary> {
  const [first] = adapters;
  if (first === undefined)
    throw new ConfigError([{ path: names.adapter, message: 'none is given; wanted DIR=WEIGHT' }]);
  const { offline, model_revision } = settings;
  const folders: string[] = [];
  for (const { directory } of adapters)
    folders.push(await adapterFolder(directory, { setting: names.adapter, offline, signal, onEvent }));
  const hub = { offline, model_revision, signal, onEvent };
  const asked = { adapter: folders[0] as string, model: given, modelName: names.model, hub };
  const model = await modelOfAdapter({ ...asked, need: 'config' });
  await requireMovable(out, names.out);
  const folder = await takeFolder(out, { name: names.out, contents: 'none' });
  try {
    const notes: string[] = [];
    const base = adapterBase(await readModelConfig(nodeReader(model), notes));
    const weighted: WeightedAdapter[] = [];
    for (const [i, { directory, weight }] of adapters.entries()) {
      const adapter = await openAdapter(nodeReader(folders[i] as string), base);
      for (const note of adapter.notes) notes.push(note);
      weighted.push({ name: directory, weight, adapter, values: await storedValues(adapter) });
    }
    if (given === undefined) requireOneBase(weighted, names.model);
    for (const text of notes) onEvent({ type: 'note', text });
    const sum = combineAdapters(weighted as [WeightedAdapter, ...WeightedAdapter[]], settings, base);
    const bytes = 4 * adapterTensors(sum.layout).reduce((total, { shape }) => total + elementCount(shape), 0);
    await requireRoom(folder.directory, { 'the adapter': bytes }, freeBytes);
    signal.throwIfAborted();
    await writeBeside(folder, (partial) => {
      const { config, layout } = sum;
      const shapes = new Map(adapterTensors(layout).map(({ name, shape }) => [name, [...shape].reverse()]));
      const values = (name: string): Float32Array => {
        const [found, shape] = [sum.values.get(name), shapes.get(name)];
        if (found === undefined || shape === undefined)
          throw new KernelCallError(name, 'is part of the sum, and was not made');
        return asInFile(name, shape, found);
      };
      return saveAdapter(nodeWriter(partial), { config, layout, base, source: null, values });
    });
    return {
      out,
      model,
      adapters: adapters.map(({ directory, weight }) => ({ adapter: directory, weight })),
      combination_type: settings.combination_type,
      r: sum.config.r,
      targets: sum.layout.targets.length,
      bytes,
    };
  } finally {
    await folder.release();
  }
}

/** Requires that adapters name one base, where no folder was given for all of them. @throws ConfigError */
function requireOneBase(adapters: readonly WeightedAdapter[], modelName: string): void {
  const named = adapters.map(({ name, adapter: { config } }) => ({ name, base: config.base_model_name_or_path }));
  if (new Set(named.map(({ base }) => base)).size === 1) return;
  const listed = named.map(({ name, base }) => `${name} names ${base ?? 'none'}`).join(', ');
  const message = `the adapters name different bases: ${listed}. Give the folder of the one they are all for.`;
  throw new ConfigError([{ path: modelName, message }]);
}
