/** A server on a fake engine, with the tokenizer of the tiny model and a chat template of a line. */
import { readModelConfig } from '../../src/formats/hf-config.ts';
import { loadTokenizer } from '../../src/formats/tokenizer.ts';
import { readGenerationConfig } from '../../src/generate/generation-config.ts';
import { nodeReader } from '../../src/node/files.ts';
import { type App, type AppOptions, createApp } from '../../src/serve/app.ts';
import { FakeEngine, type FakeOptions } from './fake-engine.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const reader = nodeReader(TINY);
const model = await readModelConfig(reader);
export const tokenizer = await loadTokenizer(reader);
const defaults = await readGenerationConfig(reader);

export const CONTEXT = 64;
export const MODELS = ['tiny', 'law', 'org/code'];
const TEMPLATE =
  "{% for m in messages %}{% if m.role == 'system' and loop.index > 1 %}{{ raise_exception('a system message stands first') }}" +
  '{% endif %}<{{ m.role }}> {{ m.content }} {% endfor %}<assistant>';

export type Started = App & {
  readonly get: (path: string, headers?: Record<string, string>) => Promise<Response>;
  readonly post: (
    path: string,
    body: unknown,
    init?: { signal?: AbortSignal; headers?: Record<string, string> },
  ) => Promise<Response>;
  /** Failures that the server's log was told. */
  readonly errors: unknown[];
};

/** Starts a server. The base has no chat template where `chat` is false. */
export function start(options: Partial<AppOptions> = {}, engine: Partial<FakeOptions> = {}, chat = true): Started {
  const errors: unknown[] = [];
  const source = { templates: new Map([['default', TEMPLATE]]), place: 'chat_template.jinja', now: new Date(0) };
  const app = createApp({
    engine: new FakeEngine({ vocabulary: model.vocab_size, context: CONTEXT, ...engine }),
    served: {
      names: MODELS.map((name, adapter) => ({ name, adapter, chat: chat || adapter > 0 ? source : null })),
      tokenizer,
      defaults,
      eosIds: model.eos_token_id,
      vocabulary: model.vocab_size,
      context: CONTEXT,
      created: 1,
    },
    access: { apiKey: null, allowedHosts: [], allowedOrigins: [] },
    maxQueue: 300,
    maxBodyBytes: 64 * 1024,
    requestTimeout: 60,
    version: '1.2.3',
    page: '<!doctype html><style>a{}</style><script>let a;</script>',
    memory: () => ({ gpu: { base_weights: 5 }, residentBytes: 7 }),
    onError: (error) => errors.push(error),
    onFlags: () => undefined,
    onFailure: (error) => errors.push(error),
    ...options,
  });
  const url = (path: string) => `http://127.0.0.1:8000${path}`;
  return {
    ...app,
    errors,
    get: (path, headers = {}) => app.fetch(new Request(url(path), { headers })),
    post: (path, body, { signal, headers = {} } = {}) =>
      app.fetch(
        new Request(url(path), {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: typeof body === 'string' || body instanceof Uint8Array ? (body as string) : JSON.stringify(body),
          signal: signal ?? null,
        }),
      ),
  };
}

/** The objects of a stream of server-sent events; its end has to be [DONE], unless an error ends it. */
export async function eventsOf(response: Response): Promise<Record<string, unknown>[]> {
  const lines = (await response.text()).trim().split('\n\n');
  const data = lines.map((line) => line.replace(/^data: /, ''));
  const last = data.at(-1);
  if (last === '[DONE]') data.pop();
  else if (!last?.startsWith('{"error"')) throw new Error(`a stream ends with ${last}`);
  return data.map((text) => JSON.parse(text) as Record<string, unknown>);
}
