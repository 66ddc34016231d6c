/** Bad requests: the right status, OpenAI's shape, the name of what is wrong, and nothing started. */
import { describe, expect, test } from 'vitest';
import { errorResponse } from '../../src/serve/responses.ts';
import { CONTEXT, eventsOf, start } from './app.ts';

const server = start();
const COMPLETIONS = '/v1/completions';
const CHAT = '/v1/chat/completions';
const messages = [{ role: 'user', content: 'So' }];

async function refusal(response: Response) {
  const { error } = errorResponse.parse(await response.json());
  expect(response.headers.get('x-request-id')).toMatch(/^req-/);
  return { status: response.status, ...error };
}

describe('parameters of OpenAI that are not followed are refused by name, and taken where they change nothing', () => {
  const both: [key: string, changes: unknown, neutral: unknown][] = [
    ['frequency_penalty', 0.5, 0],
    ['presence_penalty', -1, 0],
    ['logit_bias', { 50256: -100 }, {}],
  ];
  const completions: typeof both = [
    ['suffix', 'end', ''],
    ['best_of', 3, 1],
  ];
  const chats: typeof both = [
    ['tools', [{ type: 'function', function: { name: 'f' } }], []],
    ['tool_choice', 'required', 'none'],
    ['functions', [{ name: 'f' }], []],
    ['function_call', { name: 'f' }, 'auto'],
    ['response_format', { type: 'json_object' }, { type: 'text' }],
    ['modalities', ['text', 'audio'], ['text']],
    ['audio', { voice: 'x', format: 'mp3' }, null],
    ['prediction', { type: 'content', content: 'x' }, null],
    ['reasoning_effort', 'high', null],
    ['verbosity', 'low', null],
    ['web_search_options', {}, null],
    ['store', true, false],
  ];
  const rows = [
    ...[...both, ...completions].map((row) => [COMPLETIONS, ...row] as const),
    ...[...both, ...chats].map((row) => [CHAT, ...row] as const),
  ];
  test.each(rows)('%s %s', async (path, key, changes, neutral) => {
    const body =
      path === CHAT ? { model: 'tiny', messages, max_tokens: 1 } : { model: 'tiny', prompt: 'So', max_tokens: 1 };
    const refused = await refusal(await server.post(path, { ...body, [key]: changes }));
    expect([refused.status, refused.param?.split(/[.[]/)[0]]).toEqual([400, key]);
    expect(refused.message).toContain(key);
    for (const value of [neutral, null]) expect((await server.post(path, { ...body, [key]: value })).status).toBe(200);
  });
});

const big = 'x'.repeat(70_000);
const cases: [what: string, path: string, body: unknown, status: number, param: string | null, says: RegExp][] = [
  ['no JSON', COMPLETIONS, '{"model": ', 400, null, /the body is not JSON/],
  ['a list', COMPLETIONS, [], 400, null, /wanted a JSON object/],
  ['bytes that are not UTF-8', COMPLETIONS, Uint8Array.of(0x7b, 0xff, 0x7d), 400, null, /not UTF-8/],
  ['nesting', COMPLETIONS, `{"user": ${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 400, null, /more than 64 deep/],
  ['a large body', COMPLETIONS, { model: 'tiny', prompt: big }, 413, null, /larger than the 65536 bytes/],
  ['no model', COMPLETIONS, { prompt: 'So' }, 400, 'model', /model: is missing/],
  ['no prompt', COMPLETIONS, { model: 'tiny' }, 400, 'prompt', /prompt: is missing/],
  ['no messages', CHAT, { model: 'tiny' }, 400, 'messages', /messages: is missing/],
  [
    'an unknown key',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', temprature: 1 },
    400,
    'temprature',
    /did you mean temperature/,
  ],
  [
    "a key of an object's own",
    COMPLETIONS,
    '{"model": "tiny", "prompt": "So", "__proto__": {}}',
    400,
    '__proto__',
    /unknown key/,
  ],
  [
    'a temperature of text',
    CHAT,
    { model: 'tiny', messages, temperature: 'hot' },
    400,
    'temperature',
    /got "hot", wanted a number/,
  ],
  ['a temperature above 2', CHAT, { model: 'tiny', messages, temperature: 3 }, 400, 'temperature', /at most 2/],
  [
    'a penalty beyond numbers',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', repetition_penalty: 1e-300 },
    400,
    'repetition_penalty',
    /of at least 0.01 and at most 100/,
  ],
  ['a million choices', COMPLETIONS, { model: 'tiny', prompt: 'So', n: 1e6 }, 400, 'n', /at most 128/],
  [
    'more choices than may wait',
    COMPLETIONS,
    { model: 'tiny', prompt: ['a', 'b', 'c'], n: 128 },
    400,
    'n',
    /this server takes 304 at once/,
  ],
  ['an empty list of prompts', COMPLETIONS, { model: 'tiny', prompt: [] }, 400, 'prompt', /is empty/],
  ['an empty list of tokens', COMPLETIONS, { model: 'tiny', prompt: [[]] }, 400, 'prompt', /is empty/],
  ['a list of everything', COMPLETIONS, { model: 'tiny', prompt: ['a', 3] }, 400, 'prompt', /prompt: got \["a",3\]/],
  [
    'a token beyond the vocabulary',
    COMPLETIONS,
    { model: 'tiny', prompt: [1024] },
    400,
    'prompt',
    /token 1024; the model has 1024/,
  ],
  [
    'a token below 0',
    COMPLETIONS,
    { model: 'tiny', prompt: [[3], [3, -1]] },
    400,
    'prompt[1][1]',
    /got -1, wanted an integer of at least 0/,
  ],
  [
    'a seed that JSON rounds',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', seed: 2 ** 60 },
    400,
    'seed',
    /none beyond 9007199254740991/,
  ],
  ['an empty stop text', COMPLETIONS, { model: 'tiny', prompt: 'So', stop: '' }, 400, 'stop', /and not an empty one/],
  [
    'many stop texts',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', stop: Array(17).fill('a') },
    400,
    'stop',
    /a list of at most 16 texts of at most 500 characters/,
  ],
  [
    'more tokens at least than at most',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', min_tokens: 5, max_tokens: 3 },
    400,
    'min_tokens',
    /is 5, above the 3 tokens/,
  ],
  [
    'half a character',
    COMPLETIONS,
    '{"model": "tiny", "prompt": ["a", "\\ud800"]}',
    400,
    'prompt',
    /half of a surrogate pair/,
  ],
  [
    'a prompt beyond the context',
    COMPLETIONS,
    { model: 'tiny', prompt: 'a b '.repeat(200) },
    400,
    'prompt',
    /the context is 64 tokens/,
  ],
  ['too many tokens wanted', CHAT, { model: 'tiny', messages, max_tokens: CONTEXT }, 400, 'messages', /wants 64 more/],
  [
    'no tokens and no echo',
    COMPLETIONS,
    { model: 'tiny', prompt: 'So', max_tokens: 0 },
    400,
    'max_tokens',
    /only echo/,
  ],
  [
    'options of a stream alone',
    CHAT,
    { model: 'tiny', messages, stream_options: { include_usage: true } },
    400,
    'stream_options',
    /stream is not true/,
  ],
  [
    'alternatives alone',
    CHAT,
    { model: 'tiny', messages, top_logprobs: 2 },
    400,
    'top_logprobs',
    /logprobs is not true/,
  ],
  [
    'both limits',
    CHAT,
    { model: 'tiny', messages, max_tokens: 1, max_completion_tokens: 1 },
    400,
    'max_tokens',
    /one setting/,
  ],
  ['no message', CHAT, { model: 'tiny', messages: [] }, 400, 'messages', /messages/],
  [
    'a picture',
    CHAT,
    { model: 'tiny', messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] },
    400,
    'messages[0].content',
    /messages\[0\]\.content/,
  ],
  [
    'a role that nobody has',
    CHAT,
    { model: 'tiny', messages: [{ role: 'robot', content: 'x' }] },
    400,
    'messages[0].role',
    /one of system, developer, user, assistant/,
  ],
  [
    'an answer to follow an answer',
    CHAT,
    { model: 'tiny', messages: [...messages, { role: 'assistant', content: 'x' }] },
    400,
    'messages',
    /ends with a message of the assistant/,
  ],
  [
    'a template that raises',
    CHAT,
    { model: 'tiny', messages: [...messages, { role: 'system', content: 'x' }] },
    400,
    'messages',
    /a system message stands first/,
  ],
  ['a stop text without end', CHAT, { model: 'tiny', messages, stop: 'x'.repeat(501) }, 400, 'stop', /stop/],
  [
    'many messages',
    CHAT,
    { model: 'tiny', messages: Array(2049).fill({ role: 'user', content: '' }) },
    400,
    'messages',
    /more than 2048 entries/,
  ],
];
test.each(cases)('%s: %s', async (_, path, body, status, param, says) => {
  const own = start();
  const refused = await refusal(await own.post(path, body));
  expect([refused.status, refused.param, refused.type]).toEqual([status, param, 'invalid_request_error']);
  expect(refused.message).toMatch(says);
  expect(refused.message.length).toBeLessThan(600);
  expect([own.batcher.state.running, own.batcher.state.waiting, own.errors]).toEqual([0, 0, []]);
});

test('a model without a chat template says what to do', async () => {
  const plain = start({}, {}, false);
  const refused = await refusal(await plain.post(CHAT, { model: 'tiny', messages }));
  expect(refused).toMatchObject({ status: 400, param: 'model', code: 'no_chat_template' });
  expect(refused.message).toContain('--chat_template_path');
});

test.each([
  ['GET', '/v1', 404, 'unknown_url', null],
  ['GET', '/v1/models/gone', 404, 'model_not_found', null],
  ['GET', '/v1/models/', 404, 'unknown_url', null],
  ['POST', '/v1/embeddings', 404, 'unknown_url', null],
  ['GET', '/v1/completions', 405, 'method_not_allowed', 'POST'],
  ['DELETE', '/v1/models/law', 405, 'method_not_allowed', 'GET, HEAD'],
  ['PUT', '/', 405, 'method_not_allowed', 'GET, HEAD'],
  ['OPTIONS', '/v1/chat/completions', 405, 'method_not_allowed', 'POST'],
])('%s %s is %i', async (method, path, status, code, allow) => {
  const response = await server.fetch(new Request(`http://127.0.0.1${path}`, { method }));
  expect(response.headers.get('allow')).toBe(allow);
  expect(await refusal(response)).toMatchObject({ status, code });
});

test('a body of another type is refused: a page elsewhere can send it without asking', async () => {
  for (const type of ['text/plain', 'application/x-www-form-urlencoded', 'application/jsonp']) {
    const response = await server.post(
      COMPLETIONS,
      { model: 'tiny', prompt: 'So' },
      { headers: { 'content-type': type } },
    );
    expect(await refusal(response)).toMatchObject({ status: 415, code: 'unsupported_media_type' });
  }
});

test('a body that is compressed is refused by that name', async () => {
  const headers = { 'content-encoding': 'gzip' };
  const response = await server.post(COMPLETIONS, { model: 'tiny', prompt: 'So' }, { headers });
  expect(await refusal(response)).toMatchObject({ status: 415, code: 'unsupported_content_encoding' });
});

describe('access', () => {
  const access = { apiKey: 'sesame', allowedHosts: [], allowedOrigins: [] };
  const locked = start({ access });

  test('a token opens what it should, and nothing else does', async () => {
    for (const headers of [
      {},
      { authorization: 'Bearer sesam' },
      { authorization: 'Bearer sesame2' },
      { authorization: 'sesame' },
      { authorization: 'Basic c2VzYW1l' },
    ]) {
      for (const path of ['/v1/models', '/metrics', '/v1/models/law', '/nowhere']) {
        const response = await locked.get(path, headers as Record<string, string>);
        expect(response.headers.get('www-authenticate')).toBe('Bearer');
        expect(await refusal(response)).toMatchObject({ status: 401, code: 'invalid_api_key' });
      }
      expect(
        (await locked.post(CHAT, { model: 'tiny', messages }, { headers: headers as Record<string, string> })).status,
      ).toBe(401);
    }
    for (const authorization of ['Bearer sesame', 'bearer  sesame'])
      expect((await locked.get('/v1/models', { authorization })).status).toBe(200);
    for (const path of ['/', '/health', '/openapi.json']) expect((await locked.get(path)).status).toBe(200);
  });

  test('without a token a name in the Host header has to be known', async () => {
    const named = start({ access: { apiKey: null, allowedHosts: ['Box.lan'], allowedOrigins: [] } });
    for (const host of [
      '127.0.0.1:8000',
      'localhost:8000',
      '[::1]:8000',
      'api.localhost',
      'box.lan',
      'BOX.lan:80',
      '10.0.0.7',
    ])
      expect([host, (await named.get('/v1/models', { host })).status]).toEqual([host, 200]);
    for (const host of [
      'evil.example',
      'box.lan.evil.example',
      'localhost.evil.example',
      '127.0.0.1.evil.example',
      'evil.example:8000',
    ])
      expect(await refusal(await named.get('/v1/models', { host }))).toMatchObject({
        status: 403,
        code: 'host_not_allowed',
      });
    expect((await locked.get('/v1/models', { host: 'any.example', authorization: 'Bearer sesame' })).status).toBe(200);
  });

  test('pages of other origins are refused, unless they are allowed', async () => {
    const host = '127.0.0.1:8000';
    for (const origin of ['http://evil.example', 'null', 'http://127.0.0.1:9000', 'http://127.0.0.1', host])
      expect(await refusal(await server.get('/v1/models', { host, origin }))).toMatchObject({
        status: 403,
        code: 'origin_not_allowed',
      });
    expect((await server.get('/v1/models', { host, origin: `http://${host}` })).status).toBe(200);
    const open = start({ access: { apiKey: null, allowedHosts: [], allowedOrigins: ['https://chat.example'] } });
    const origin = 'https://chat.example';
    expect((await open.get('/v1/models', { host, origin })).headers.get('access-control-allow-origin')).toBe(origin);
    const preflight = await open.fetch(
      new Request(`http://${host}${CHAT}`, {
        method: 'OPTIONS',
        headers: {
          origin,
          'access-control-request-method': 'POST',
          'access-control-request-headers': 'content-type,authorization',
        },
      }),
    );
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-headers')).toBe('content-type,authorization');
    expect((await open.get('/v1/models', { host, origin: 'http://evil.example' })).status).toBe(403);
  });
});

test('weights that give no numbers fail their own requests alone', async () => {
  const own = start({}, { unfit: [1] });
  const post = (model: string, more: object = {}) =>
    own.post(COMPLETIONS, { model, prompt: 'So', max_tokens: 4, n: 2, ...more });
  const [fine, unfit, streamed, scored] = await Promise.all([
    post('tiny'),
    post('law'),
    post('law', { stream: true }),
    post('law', { echo: true, logprobs: 1 }),
  ]);
  expect(fine.status).toBe(200);
  for (const response of [unfit, scored])
    expect(await refusal(response)).toMatchObject({ status: 500, type: 'server_error', code: 'model_error' });
  expect((await eventsOf(streamed)).at(-1)).toMatchObject({ error: { code: 'model_error' } });
  expect(own.batcher.state).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0, status: 'ready' });
});
