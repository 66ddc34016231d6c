/** Everything that serving needs before it takes GPU memory: files opened, names settled, the plan for any request. */
import path from 'node:path';
import type { Adapter } from '../adapters/files.ts';
import type { ServeConfig } from '../config/serve.ts';
import { type ChatSource, openChatSource, readChatTemplates } from '../data/chat-source.ts';
import { ConfigError } from '../errors.ts';
import type { TensorSource } from '../formats/checkpoint.ts';
import { floatType } from '../formats/dtype.ts';
import { anyRequests } from '../generate/build.ts';
import { readGenerationConfig } from '../generate/generation-config.ts';
import type { GenerationPlan } from '../generate/plan.ts';
import { endsOf } from '../generate/resolve.ts';
import { baseStorage } from '../model/base-storage.ts';
import { openModel } from '../model/open.ts';
import type { ServedModel } from '../serve/served-model.ts';
import { emptyNames } from './adapter-names.ts';
import { nodeReader } from './files.ts';
import { openAdapters } from './open-adapters.ts';
import type { NamedFolder } from './prompts.ts';

/** Context that is served where nobody says: the cache of a long one would take most of a GPU. */
const DEFAULT_CONTEXT = 4096;

export type ServeJob = {
  /** Folder of the model. */
  readonly model: string;
  readonly name: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: ServeConfig;
};

export type ServeInput = {
  readonly served: ServedModel;
  readonly plan: GenerationPlan;
  readonly source: TensorSource;
  readonly adapters: readonly Adapter[];
  readonly notes: readonly string[];
};

/** Reads and checks all but the values of the weights. @throws ConfigError, DataError */
export async function readServeInput(job: ServeJob): Promise<ServeInput> {
  const { config } = job;
  requireNames(job);
  const { model, source, tokenizer, ...opened } = await openModel(
    { model_name_or_path: job.model, adapter_name_or_path: null },
    nodeReader,
  );
  if (tokenizer === null)
    throw new ConfigError([{ path: 'model', message: `${source.root} has no tokenizer.json, and requests are texts` }]);
  const context = contextOf(config, model.max_position_embeddings);
  const notes = [...opened.notes, ...tokenizer.notes];
  if (context < model.max_position_embeddings && config.max_model_len === null)
    notes.push(
      `requests of up to ${context} tokens are taken; the model's context is ${model.max_position_embeddings} (max_model_len)`,
    );
  const defaults = await readGenerationConfig(nodeReader(job.model), notes);
  const adapters = await openAdapters(job.adapters, { model, source, name: job.model }, nodeReader, notes);
  const served: ServedModel = {
    names: await namesOf(job),
    tokenizer,
    defaults,
    eosIds: endsOf({ ignore_eos: false }, defaults, model),
    vocabulary: model.vocab_size,
    context,
    created: Math.floor(Date.now() / 1000),
  };
  const plan: GenerationPlan = {
    model,
    storage: await baseStorage(config, model, source),
    adapters: adapters.map(({ layout }) => layout),
    computeDtype: floatType(config.compute_dtype).gpu,
    batchSize: config.batch_size,
    requests: anyRequests(context, config.batch_size),
    cacheTokens: config.kv_cache_tokens ?? undefined,
    scoresPrompts: true,
  };
  return { served, plan, source, adapters, notes };
}

function contextOf({ max_model_len, kv_cache_tokens }: ServeConfig, most: number): number {
  const context = max_model_len ?? Math.min(most, DEFAULT_CONTEXT);
  if (context > most)
    throw new ConfigError([
      { path: 'max_model_len', message: `got ${context}; the model's context is ${most} tokens` },
    ]);
  if (kv_cache_tokens !== null && kv_cache_tokens < context)
    throw new ConfigError([
      {
        path: 'kv_cache_tokens',
        message: `got ${kv_cache_tokens}, which a request of max_model_len ${context} tokens does not fit; raise it, or lower max_model_len`,
      },
    ]);
  return context;
}

/** Requires a name of its own for each. @throws ConfigError */
function requireNames({ name, adapters }: ServeJob): void {
  const names = [name, ...adapters.map((adapter) => adapter.name)];
  const twice = new Set(names.filter((each, i) => each !== '' && names.indexOf(each) < i));
  const problems = [
    ...emptyNames(adapters),
    ...[...twice].map((each) => ({
      path: 'adapter',
      message: `requests tell models apart by name, and two are called ${each}; give an adapter another one (DIR=NAME), or the base (served_model_name)`,
    })),
  ];
  if (problems.length > 0) throw new ConfigError(problems);
}

/** Each with its template: chat_template_path's, else that of the adapter's own folder, else the model's. */
async function namesOf({ model, name, adapters, config }: ServeJob): Promise<ServedModel['names']> {
  const base = unplaced(await openChatSource(nodeReader(model), config.chat_template_path, nodeReader));
  const own = async (directory: string): Promise<ChatSource | null> =>
    config.chat_template_path === null ? unplaced(await readChatTemplates(nodeReader(directory))) : null;
  const others = await Promise.all(
    adapters.map(async (adapter, i) => ({
      name: adapter.name,
      adapter: i + 1,
      chat: (await own(adapter.directory)) ?? base,
    })),
  );
  return [{ name, adapter: 0, chat: base }, ...others];
}

/** Clients are told what a template says, and not where it lies on this machine. */
const unplaced = (source: ChatSource | null): ChatSource | null =>
  source === null ? null : { ...source, place: path.basename(source.place) };
