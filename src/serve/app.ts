/** The server as a function from requests to responses. It knows no Node API: hono, fetch's types and web streams. */
import { Hono } from 'hono';
import { bodyLimit } from 'hono/body-limit';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import type { Decoder } from '../generate/engine.ts';
import { newId, type ServerParts } from './answer.ts';
import { Batcher } from './batcher.ts';
import { chat } from './chat.ts';
import { complete } from './completions.ts';
import { ApiError, asApiError } from './errors.ts';
import { type Access, requireHost, requireOrigin, requireToken } from './guard.ts';
import { type MemoryFigures, Metrics } from './metrics.ts';
import { openApiDocument } from './openapi.ts';
import { pageResponse } from './page.ts';
import { chatRequest, completionRequest } from './parameters.ts';
import { readRequest } from './read-request.ts';
import { modelList, modelObject, type ServedModel, servedAs } from './served-model.ts';
import { TokenTexts } from './token-texts.ts';

export type AppOptions = {
  readonly engine: Decoder;
  readonly served: ServedModel;
  readonly access: Access;
  readonly maxQueue: number;
  readonly maxBodyBytes: number;
  /** Seconds. */
  readonly requestTimeout: number;
  /** Version of nibble. */
  readonly version: string;
  /** HTML of the page at /. */
  readonly page: string;
  readonly memory: () => MemoryFigures;
  /** Told of a failure that is the server's own, with the id of its request. */
  readonly onError: (error: unknown, requestId: string) => void;
  /** Told what kernels found on the way, such as values that float16 does not hold. */
  readonly onFlags: (text: string) => void;
  /** Told once that no request can be answered any more. */
  readonly onFailure: (error: unknown) => void;
};

export type App = {
  readonly fetch: (request: Request) => Promise<Response>;
  readonly batcher: Batcher;
  readonly metrics: Metrics;
};

type Variables = { Variables: { requestId: string } };

/** Methods of each path. */
const ROUTES: Readonly<Record<string, 'GET' | 'POST'>> = {
  '/v1/chat/completions': 'POST',
  '/v1/completions': 'POST',
  '/v1/models': 'GET',
  '/health': 'GET',
  '/metrics': 'GET',
  '/openapi.json': 'GET',
  '/': 'GET',
};
const MODEL_PREFIX = '/v1/models/';

/** The route of a path, for figures by path: a client can make up any number of others. */
function routeOf(path: string): string {
  if (Object.hasOwn(ROUTES, path)) return path;
  return path.startsWith(MODEL_PREFIX) ? `${MODEL_PREFIX}{model}` : 'other';
}

export function createApp(options: AppOptions): App {
  const { engine, served, maxQueue, requestTimeout, onFailure, onFlags } = options;
  const metrics = new Metrics();
  const batcher = new Batcher(engine, { maxQueue, requestTimeout, onFailure, onFlags });
  const texts = new TokenTexts(served.tokenizer);
  const app = new Hono<Variables>({ strict: true });
  guarded(app, options, metrics);
  reading(app, options, batcher, metrics);
  generating(app, options, { served, batcher, metrics, texts });
  return { fetch: async (request) => app.fetch(request), batcher, metrics };
}

function guarded(app: Hono<Variables>, { access, onError }: AppOptions, metrics: Metrics): void {
  app.use(async (c, next) => {
    c.set('requestId', newId('req'));
    await next();
    c.res.headers.set('x-request-id', c.get('requestId'));
    c.res.headers.set('X-Content-Type-Options', 'nosniff');
    c.res.headers.set('Cross-Origin-Resource-Policy', 'same-origin');
    metrics.requests.add({ path: routeOf(c.req.path), status: String(c.res.status) }, 1);
  });
  app.use(requireHost(access));
  app.use(requireOrigin(access));
  app.use(requireToken(access));
  app.notFound((c) => unknownPath(c.req.method, c.req.path).response);
  app.onError((error, c) => {
    const known = isOfLeaving(error, c.req.raw) ? new ApiError(499, 'the client is gone') : asApiError(error);
    if (!(error instanceof ApiError) && known.status >= 500) onError(error, c.get('requestId'));
    for (const [name, value] of Object.entries(known.headers)) c.header(name, value);
    return c.json(known.body, known.status as ContentfulStatusCode);
  });
}

/** Whether it is the client that went, in the middle of its body. */
const isOfLeaving = (error: Error, { signal }: Request): boolean =>
  !(error instanceof ApiError) && (signal.aborted || (error as { code?: string }).code === 'ECONNRESET');

function unknownPath(method: string, path: string): ApiError {
  const isModel = path.startsWith(MODEL_PREFIX) && path.length > MODEL_PREFIX.length;
  const allowed = ROUTES[path] ?? (isModel ? 'GET' : undefined);
  if (allowed === undefined)
    return new ApiError(404, `there is no ${method} ${path.slice(0, 200)}; /openapi.json lists what there is`, {
      code: 'unknown_url',
    });
  const headers = { Allow: allowed === 'GET' ? 'GET, HEAD' : allowed };
  return new ApiError(405, `${path} takes ${allowed}, not ${method}`, { code: 'method_not_allowed', headers });
}

function reading(app: Hono<Variables>, options: AppOptions, batcher: Batcher, metrics: Metrics): void {
  const { served, version, page, memory } = options;
  const document = openApiDocument(version);
  const html = pageResponse(page);
  app.get('/', async () => (await html)());
  app.get('/health', (c) => {
    const { status } = batcher.state;
    return c.json({ status }, status === 'ready' ? 200 : 503);
  });
  app.get('/metrics', (c) =>
    c.body(metrics.text(batcher.state, memory()), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' }),
  );
  app.get('/openapi.json', (c) => c.json(document));
  app.get('/v1/models', (c) => c.json(modelList(served)));
  // names on the hub have a slash
  app.get(`${MODEL_PREFIX}:model{.+}`, (c) => c.json(modelObject(served, servedAs(served, c.req.param('model')))));
}

function generating(
  app: Hono<Variables>,
  { served, maxBodyBytes, onError }: AppOptions,
  parts: Omit<ServerParts, 'asApiError'>,
): void {
  const limit = bodyLimit({
    maxSize: maxBodyBytes,
    onError: () => {
      throw new ApiError(413, `the body is larger than the ${maxBodyBytes} bytes that this server takes`, {
        code: 'request_too_large',
      });
    },
  });
  const longest = Math.max(served.context, LEAST_LIST);
  const partsOf = (requestId: string): ServerParts => ({
    ...parts,
    asApiError: (error) => {
      const known = asApiError(error);
      if (!(error instanceof ApiError) && known.status >= 500) onError(error, requestId);
      return known;
    },
  });
  app.post('/v1/completions', limit, async (c) =>
    complete(partsOf(c.get('requestId')), await readRequest(c.req.raw, completionRequest, longest), c.req.raw.signal),
  );
  app.post('/v1/chat/completions', limit, async (c) =>
    chat(partsOf(c.get('requestId')), await readRequest(c.req.raw, chatRequest, longest), c.req.raw.signal),
  );
}

/** A list may have this many entries where the context is shorter, such as many short prompts. */
const LEAST_LIST = 2048;
