/** How `nibble serve` refuses what it cannot serve, before it takes a device; and how its HTTP server refuses what is no request. */
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { serveCommand } from '../../src/cli/serve/command.ts';
import { runServe } from '../../src/cli/serve/run.ts';
import { type Listening, listen } from '../../src/node/listen.ts';
import { errorResponse } from '../../src/serve/responses.ts';
import { nibble } from '../cli/fakes.ts';
import { type Started, start } from '../serve/app.ts';
import { GOLDEN } from './nibble.ts';

const TINY = new URL('../../bench/models/tiny', import.meta.url).pathname;
const QWEN = path.join(GOLDEN, 'architectures/qwen2/dense');
const ADAPTER = path.join(GOLDEN, 'eval/adapter');

const run = (argv: readonly string[], env: Record<string, string> = {}) =>
  nibble(
    ['serve', ...argv, ...(argv.includes('--port') ? [] : ['--port', '0'])],
    [(context) => serveCommand(context, runServe)],
    {
      env: { NO_COLOR: '1', ...env },
    },
  );

test.each([
  [
    'an address that others reach',
    [TINY, '--host', '0.0.0.0'],
    /host: 0.0.0.0 can be reached from other machines.*set api_key \(or NIBBLE_API_KEY\).*\(--host\)/,
  ],
  [
    'two of one name',
    [TINY, '--adapter', ADAPTER, '--adapter', ADAPTER],
    /adapter: requests tell models apart by name, and two are called adapter/,
  ],
  ['an adapter called as the base', [TINY, '--adapter', `${ADAPTER}=tiny`], /two are called tiny/],
  ['an adapter that is not there', [TINY, '--adapter', './nowhere'], /adapter: there is no folder/],
  [
    'an adapter of another base',
    [TINY, '--adapter', path.join(GOLDEN, 'architectures/qwen2/adapter-init')],
    /Was the adapter trained on another base/,
  ],
  ['a model without a tokenizer', [QWEN], /model: .* has no tokenizer.json, and requests are texts/],
  ['more than the context', [TINY, '--max_model_len', '513'], /max_model_len: got 513; the model's context is 512/],
  [
    'a cache below one request',
    [TINY, '--kv_cache_tokens', '100'],
    /kv_cache_tokens: got 100, which a request of max_model_len 512 tokens does not fit/,
  ],
  ['a port beyond all', [TINY, '--port', '70000'], /port: got 70000, wanted an integer/],
  [
    'an address of nobody',
    [TINY, '--host', '203.0.113.1', '--allow_unauthenticated'],
    /host: 203.0.113.1 is no address of this machine/,
  ],
  ['a token with a space', [TINY, '--api_key', 'a b'], /api_key/],
  ['an unknown option', [TINY, '--prot', '1'], /unknown option '--prot'\n\(Did you mean --port\?\)/],
] as const)('refuses %s', async (_, argv, says) => {
  const { code, stdout, stderr } = await run(argv);
  expect([code, stdout], stderr).toEqual([2, '']);
  expect(stderr).toMatch(says);
  expect(stderr).not.toMatch(/\n\s+at .*:\d+:\d+/);
});

test('refuses a port that is taken, before it loads anything', async () => {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', () => resolve()));
  const { port } = other.address() as AddressInfo;
  const { code, stderr } = await run([TINY, '--port', String(port)]);
  other.close();
  expect([code, stderr]).toEqual([
    2,
    `nibble: port: ${port} is taken by another program; end it, or give another port (EADDRINUSE)\n`,
  ]);
});

test('a token from the environment is enough for another address, and names itself where it is wrong', async () => {
  const { code, stderr } = await run([TINY, '--host', '0.0.0.0'], { NIBBLE_API_KEY: 'a\tb' });
  expect([code, stderr]).toEqual([2, expect.stringMatching(/^nibble: api_key: .*\(NIBBLE_API_KEY\)\n$/)]);
});

describe('what is no request gets an answer in the form of OpenAI, and its connection ends', () => {
  let http: Listening;
  let app: Started;
  beforeAll(async () => {
    app = start({ maxBodyBytes: 1000 }, { beforeStep: () => new Promise((resolve) => setTimeout(resolve, 5)) });
    http = await listen(app.fetch, {
      host: '127.0.0.1',
      port: 0,
      bodyTimeout: 1,
      requestTimeout: 60,
      maxConnections: 50,
    });
  });
  afterAll(() => http.close(1));

  /** Sends bytes and returns all that comes back until the other side closes. */
  const send = (text: string, keepsOpen = false): Promise<string> =>
    new Promise((resolve) => {
      const socket = connect(http.port, '127.0.0.1');
      let got = '';
      socket.on('data', (data) => {
        got += data.toString();
      });
      socket.on('error', () => undefined);
      socket.on('close', () => resolve(got));
      socket.write(text);
      if (!keepsOpen) socket.end();
    });
  const HEAD = 'POST /v1/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n';

  test.each([
    ['no HTTP', 'hello\r\n\r\n', 400, 'bad_request'],
    ['large headers', `GET / HTTP/1.1\r\nHost: a\r\nX: ${'x'.repeat(20_000)}\r\n\r\n`, 431, 'headers_too_large'],
    ['no host', 'GET /health HTTP/1.1\r\nConnection: close\r\n\r\n', 400, 'bad_request'],
    ['an unknown expectation', `${HEAD}Expect: more\r\nContent-Length: 2\r\n\r\n{}`, 400, 'missing_required_parameter'],
    ['a host that is none', 'GET /health HTTP/1.1\r\nHost: a b\r\n\r\n', 400, 'bad_request'],
    ['two lengths', `${HEAD}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}`, 400, 'bad_request'],
    [
      'a length and chunks',
      `${HEAD}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
      400,
      'bad_request',
    ],
    ['headers that never end', 'GET / HTTP/1.1\r\nHost: a\r\nX', 408, 'request_timeout'],
    ['a body that never ends', `${HEAD}Content-Length: 100\r\n\r\n{"model"`, 408, 'request_timeout'],
    ['a body that says it is large', `${HEAD}Content-Length: 100000\r\n\r\n{`, 413, 'request_too_large'],
    [
      'chunks without end',
      `${HEAD}Transfer-Encoding: chunked\r\n\r\n${`400\r\n${' '.repeat(1024)}\r\n`.repeat(4)}`,
      413,
      'request_too_large',
    ],
  ])('%s', async (_, text, status, code) => {
    const answer = await send(text, true);
    expect(answer).toMatch(new RegExp(`^HTTP/1.1 ${status} `));
    if (code === null) return;
    const { error } = errorResponse.parse(JSON.parse(answer.slice(answer.indexOf('\r\n\r\n') + 4)));
    expect([error.code, error.type]).toEqual([code, 'invalid_request_error']);
  });

  test('a client that is gone in the middle of a stream frees its place', async () => {
    const body = JSON.stringify({ model: 'tiny', prompt: 'So', max_tokens: 60, ignore_eos: true, stream: true });
    const socket = connect(http.port, '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(`${HEAD}Content-Length: ${body.length}\r\n\r\n${body}`);
    await new Promise((resolve) => socket.once('data', resolve));
    expect(app.batcher.state.running).toBe(1);
    socket.destroy();
    await expect
      .poll(() => app.batcher.state.running + app.batcher.state.pagesUsed, { timeout: 1000, interval: 5 })
      .toBe(0);
    expect(app.errors).toEqual([]);
  });

  test('requests one behind the other on a connection are answered in order', async () => {
    const one = (model: string) => `GET /v1/models/${model} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`;
    const last = one('law').replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n');
    const answer = await send(`${one('tiny')}${one('gone')}${last}`, true);
    expect(answer.match(/HTTP\/1.1 \d+/g)).toEqual(['HTTP/1.1 200', 'HTTP/1.1 404', 'HTTP/1.1 200']);
  });
});

test('the page comes with the package', () => {
  const { files } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    files: string[];
  };
  expect(files).toContain('pages');
});

describe('docs/serve.md', () => {
  const page = readFileSync(new URL('../../docs/serve.md', import.meta.url), 'utf8');
  const lines = [...page.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) => block.trim().split('\n'));

  test('its commands are understood as they stand', async () => {
    const commands = lines.filter((line) => line.includes('npx nibble serve'));
    expect(commands).toHaveLength(2);
    for (const line of commands) {
      const [, variable, argv = ''] = /^(?:NIBBLE_API_KEY=(\S+) )?npx nibble (.*)$/.exec(line) ?? [];
      const calls: unknown[] = [];
      const env = variable === undefined ? {} : { NIBBLE_API_KEY: variable };
      const outcome = await nibble(argv.split(' '), [(c) => serveCommand(c, async (args) => void calls.push(args))], {
        env,
      });
      expect([line, outcome.code, calls]).toEqual([line, 0, [expect.objectContaining({ adapters: ['./out'] })]]);
    }
  });

  test('its requests are answered, and its error is the one there is', async () => {
    const requests = lines.filter((line) => line.startsWith('curl '));
    expect(requests).toHaveLength(3);
    const app = start({}, {}, true);
    // the page calls its adapter out
    const named = (text: string): string => text.replace('"out"', '"law"');
    for (const line of requests) {
      const [, path = ''] = /http:\/\/127\.0\.0\.1:8000(\S+)/.exec(line) ?? [];
      const [, body] = /-d '(.*)'$/.exec(line) ?? [];
      const response = await (body === undefined ? app.get(path) : app.post(path, named(body)));
      expect([line, response.status]).toEqual([line, 200]);
    }
    const [, sample = ''] = /^```json\n(.*)\n/m.exec(page) ?? [];
    const gone = await app.post('/v1/completions', { model: 'gone', prompt: 'So' });
    expect((await gone.text()).replace('tiny, law, org/code', 'tiny, out')).toBe(sample);
  });
});
