/** What a server answers with: a model that is ready to generate, and the adapters on it. */
import type { ChatSource } from '../data/chat-source.ts';
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { GenerationDefaults } from '../generate/generation-config.ts';
import { ApiError } from './errors.ts';

/** The base or an adapter, as requests name it. */
export type ServedName = {
  readonly name: string;
  /** Number of the adapter among the engine's, from 1; 0 for the base. */
  readonly adapter: number;
  /** Where its chats' template comes from; null where there is none. */
  readonly chat: ChatSource | null;
};

export type ServedModel = {
  /** The base first, then the adapters. */
  readonly names: readonly ServedName[];
  readonly tokenizer: TextTokenizer;
  /** generation_config.json. */
  readonly defaults: GenerationDefaults;
  /** Tokens that end a text. */
  readonly eosIds: readonly number[];
  readonly vocabulary: number;
  /** Most tokens of a prompt and its text together. */
  readonly context: number;
  /** When it was loaded, in seconds since 1970. */
  readonly created: number;
};

/** Finds what a request means by `model`. @throws ApiError */
export function servedAs({ names }: ServedModel, model: string): ServedName {
  const found = names.find(({ name }) => name === model);
  if (found !== undefined) return found;
  const message = `there is no model ${JSON.stringify(model.slice(0, 100))}; there are ${names.map(({ name }) => name).join(', ')}`;
  throw new ApiError(404, message, { param: 'model', code: 'model_not_found' });
}

/** The list that /v1/models gives; `parent` and `max_model_len` are named as vLLM names them. */
export function modelList(served: ServedModel): { readonly object: 'list'; readonly data: readonly ModelObject[] } {
  return { object: 'list', data: served.names.map((name) => modelObject(served, name)) };
}

export type ModelObject = {
  readonly id: string;
  readonly object: 'model';
  readonly created: number;
  readonly owned_by: 'nibble';
  /** The base of an adapter; null for the base. */
  readonly parent: string | null;
  readonly max_model_len: number;
  readonly has_chat_template: boolean;
};

export function modelObject(
  { names, created, context }: ServedModel,
  { name, adapter, chat }: ServedName,
): ModelObject {
  return {
    id: name,
    object: 'model',
    created,
    owned_by: 'nibble',
    parent: adapter === 0 ? null : (names[0]?.name ?? null),
    max_model_len: context,
    has_chat_template: chat !== null,
  };
}
