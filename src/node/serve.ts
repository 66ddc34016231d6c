/** serve(): OpenAI's endpoints for a model and the adapters on it, on this machine. */
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { bytesOfSize } from '../config/bytes.ts';
import { checkServeSettings, type ServeConfig, type ServeInput } from '../config/serve.ts';
import type { ConfigProblem } from '../errors.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import { type App, createApp } from '../serve/app.ts';
import { tryLater } from '../serve/errors.ts';
import type { CallOptions, LoadEvent } from './call.ts';
import type { DeviceChoice } from './device-choice.ts';
import { foundFolders, openEngine } from './generation-engine.ts';
import { type Listening, listen } from './listen.ts';
import { packageManifest, packageRoot } from './package-root.ts';
import type { NamedFolder } from './prompts.ts';
import { deviceNotes } from './run-notes.ts';
import { type NodeRuntime, openNodeRuntime } from './runtime.ts';
import { type ServeInput as ReadyInput, readServeInput } from './serve-input.ts';

export type ServeOptions = ServeInput &
  CallOptions<LoadEvent> & {
    /** Directory of a Hugging Face model, or its name on the hub. */
    readonly model_name_or_path: string;
    /** Directories of PEFT adapters, or their names on the hub, by the names that requests have for them. */
    readonly adapters?: Readonly<Record<string, string>> | undefined;
    readonly device?: DeviceChoice | undefined;
  };

/** A server that answers. */
export type Served = {
  readonly url: string;
  readonly port: number;
  /** Names that requests may give as `model`: the base, then the adapters. */
  readonly models: readonly string[];
  /** The server as a function, for a program with a server of its own. */
  readonly fetch: (request: Request) => Promise<Response>;
  /** Takes no more requests, waits for those under way, and frees everything. */
  close(): Promise<void>;
  /** Rejected when the GPU fails and no request can be answered any more. */
  readonly failed: Promise<never>;
};

/**
 * Loads a model and answers requests for it until `close`. The signal ends the loading; afterwards it does nothing.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read; DeviceError
 */
export async function serve(options: ServeOptions): Promise<Served> {
  const { model_name_or_path: model, adapters = {}, onEvent, signal, device, ...given } = options;
  const isEmpty = typeof model !== 'string' || model === '';
  const missing: ConfigProblem[] = isEmpty
    ? [{ path: 'model_name_or_path', message: 'is missing; wanted the path of a directory (options)' }]
    : [];
  const config = checkServeSettings(given, () => 'options', missing);
  const folders = Object.entries(adapters).map(([name, directory]) => ({ name, directory }));
  const job = { model, modelName: 'model_name_or_path', adapters: folders, config, device };
  return serveFrom(job, { onEvent, signal });
}

export type ServeCall = {
  readonly model: string;
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly config: ServeConfig;
  readonly device?: DeviceChoice | undefined;
};

/** Connections beyond those whose requests are under way or wait: for pages, figures, and to tell the others to come later. */
const SPARE_CONNECTIONS = 256;
/** Seconds in which answers that are done reach their clients, once a server ends. */
const FLUSH_SECONDS = 5;
const LOADING_RETRY_SECONDS = 5;
const REMEDIES = 'load_in_4bit, a smaller batch_size, max_model_len or kv_cache_tokens';
export const PAGE_FILE = 'pages/chat.html';

/** Does the work of serve() and `nibble serve`. */
export async function serveFrom(
  call: ServeCall,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<LoadEvent>,
): Promise<Served> {
  const { config } = call;
  let app: App | null = null;
  const answer = async (request: Request): Promise<Response> =>
    app === null ? tryLater(503, 'the model is being loaded', LOADING_RETRY_SECONDS).response : app.fetch(request);
  // the port first: one that is taken is found out before a model is loaded
  const http = await listen(answer, {
    host: config.host,
    port: config.port,
    bodyTimeout: config.body_timeout,
    requestTimeout: config.request_timeout,
    maxConnections: config.batch_size + config.max_queue + SPARE_CONNECTIONS,
  });
  try {
    const loaded = await load(call, { onEvent, signal });
    const failed = new Promise<never>((_, reject) => {
      app = appOf(loaded, config, reject, onEvent);
    });
    // who does not ask is told by the answers alone
    failed.catch(() => undefined);
    return handleOf(app as unknown as App, http, loaded, config, failed);
  } catch (error) {
    await http.close(0);
    throw error;
  }
}

type Loaded = {
  readonly runtime: NodeRuntime;
  readonly engine: GenerationEngine;
  readonly input: ReadyInput;
  readonly page: string;
};

async function load(
  call: ServeCall,
  { onEvent, signal }: { readonly onEvent: (event: LoadEvent) => void; readonly signal: AbortSignal },
): Promise<Loaded> {
  const page = await readFile(path.join(packageRoot(), PAGE_FILE), 'utf8');
  const found = await foundFolders(call, { onEvent, signal });
  const isLocal = found.model === call.model;
  const ownName = isLocal ? path.basename(path.resolve(call.model)) : call.model;
  const input = await readServeInput({ ...found, name: call.config.served_model_name ?? ownName });
  signal.throwIfAborted();
  const runtime = await openNodeRuntime(call.device);
  try {
    for (const text of [...deviceNotes(runtime.device), ...input.notes]) onEvent({ type: 'note', text });
    const engine = await openEngine(runtime, input, { config: call.config, remedies: REMEDIES, onEvent, signal });
    return { runtime, engine, input, page };
  } catch (error) {
    await runtime.close();
    throw error;
  }
}

function appOf(
  { engine, input, page }: Loaded,
  config: ServeConfig,
  onFailure: (error: unknown) => void,
  onEvent: (event: LoadEvent) => void,
): App {
  const note = (text: string): void => onEvent({ type: 'note', text });
  return createApp({
    engine,
    served: input.served,
    access: {
      apiKey: config.api_key,
      allowedHosts: config.allowed_hosts,
      allowedOrigins: config.allowed_origins,
    },
    maxQueue: config.max_queue,
    maxBodyBytes: bytesOfSize(config.max_body_size),
    requestTimeout: config.request_timeout,
    version: packageManifest().version,
    page,
    memory: () => ({ gpu: engine.machine.ledger.current, residentBytes: process.memoryUsage.rss() }),
    onError: (error, id) => note(`request ${id} failed: ${(error as Error).stack ?? String(error)}`),
    onFlags: (text) => note(text),
    onFailure,
  });
}

function handleOf(
  app: App,
  http: Listening,
  { runtime, engine, input }: Loaded,
  config: ServeConfig,
  failed: Promise<never>,
): Served {
  let ending: Promise<void> | null = null;
  const end = async (): Promise<void> => {
    const listening = http.close(config.drain_timeout + FLUSH_SECONDS);
    await app.batcher.drain(config.drain_timeout);
    await listening;
    engine.destroy();
    await runtime.close();
  };
  return {
    url: http.url,
    port: http.port,
    models: input.served.names.map(({ name }) => name),
    fetch: app.fetch,
    failed,
    close: () => {
      ending ??= end();
      return ending;
    },
  };
}
