/** Many requests on one engine: none lost, none mixed up, and room again as soon as one leaves. */
import { expect, test } from 'vitest';
import { MODELS, start } from './app.ts';

const COMPLETIONS = '/v1/completions';

/** A gate that each step of the engine waits at. */
function gate() {
  let open = (): void => undefined;
  let closed = Promise.resolve();
  return {
    step: () => closed,
    close: () => {
      closed = new Promise((resolve) => {
        open = resolve;
      });
    },
    open: () => open(),
  };
}

const settled = async (is: () => boolean): Promise<void> => {
  for (let i = 0; i < 1000 && !is(); i++) await new Promise((resolve) => setTimeout(resolve, 1));
  expect(is()).toBe(true);
};

const requestOf = (i: number) => ({
  model: MODELS[i % 3],
  prompt: `It was ${'so '.repeat(i % 7)}${i}`,
  max_tokens: 1 + (i % 13),
  seed: i,
  temperature: i % 2,
  logprobs: i % 4 === 0 ? 2 : null,
});

test('100 requests at once over three models get what each gets alone', async () => {
  const alone = start({}, { rows: 1 });
  const together = start({}, { rows: 5, pages: 11 });
  const ask = async (server: typeof alone, i: number) => {
    const response = await server.post(COMPLETIONS, requestOf(i));
    const { choices, usage } = (await response.json()) as { choices: unknown; usage: unknown };
    return { status: response.status, choices, usage };
  };
  const all = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(together, i)));
  for (const [i, got] of all.entries()) expect([i, got]).toEqual([i, await ask(alone, i)]);
  expect(together.batcher.state).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0 });
});

test('more than may wait are turned away with 429, and told when to come back', async () => {
  const { step, close, open } = gate();
  const server = start({ maxQueue: 3 }, { rows: 2, beforeStep: step });
  close();
  const body = { model: 'tiny', prompt: 'So', max_tokens: 2 };
  const under = Array.from({ length: 5 }, () => server.post(COMPLETIONS, body));
  await settled(() => server.batcher.state.running + server.batcher.state.waiting === 5);
  const refused = await server.post(COMPLETIONS, body);
  expect([refused.status, refused.headers.get('retry-after')]).toEqual([429, '1']);
  expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'rate_limit_exceeded' } });
  open();
  expect((await Promise.all(under)).map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
  expect((await server.post(COMPLETIONS, body)).status).toBe(200);
});

test('a client that leaves frees its place and its pages, from the batch and from the queue', async () => {
  const { step, close, open } = gate();
  const server = start({}, { rows: 2, beforeStep: step });
  const leaving = Array.from({ length: 4 }, () => new AbortController());
  const body = { model: 'tiny', prompt: 'So', max_tokens: 50, ignore_eos: true };
  close();
  const answers = leaving.map(({ signal }, i) =>
    server.post(COMPLETIONS, { ...body, n: 1 + (i % 2) }, { signal }).then((response) => response.status),
  );
  const staying = server.post(COMPLETIONS, { ...body, max_tokens: 2 });
  await settled(() => server.batcher.state.running + server.batcher.state.waiting === 7);
  for (const each of leaving) each.abort();
  open();
  expect((await staying).status).toBe(200);
  // nobody reads it, but the code is one that proxies know
  expect(await Promise.all(answers)).toEqual([499, 499, 499, 499]);
  expect(server.batcher.state).toMatchObject({ running: 0, waiting: 0, pagesUsed: 0 });
});

test('a reader that cancels a stream frees its place, while it generates and while it waits', async () => {
  const { step, close, open } = gate();
  const server = start({}, { rows: 1, beforeStep: step });
  const body = { model: 'tiny', prompt: 'So', max_tokens: 50, ignore_eos: true, stream: true };
  const first = (await server.post(COMPLETIONS, body)).body?.getReader();
  await first?.read();
  close();
  const second = (await server.post(COMPLETIONS, body)).body?.getReader();
  const pending = second?.read();
  await settled(() => server.batcher.state.waiting === 1);
  await Promise.all([first?.cancel(), second?.cancel()]);
  await pending;
  open();
  await settled(() => server.batcher.state.running === 0 && server.batcher.state.waiting === 0);
  expect([server.batcher.state.pagesUsed, server.errors]).toEqual([0, []]);
});

test('a request that is not done in time is ended: 504, or an error in its stream', async () => {
  const slow = () => new Promise<void>((resolve) => setTimeout(resolve, 20));
  const server = start({ requestTimeout: 0.1 }, { rows: 2, beforeStep: slow });
  const body = { model: 'tiny', prompt: 'So', max_tokens: 60, ignore_eos: true };
  const [whole, streamed] = await Promise.all([
    server.post(COMPLETIONS, body),
    server.post(COMPLETIONS, { ...body, stream: true }),
  ]);
  expect([whole.status, whole.headers.get('x-should-retry')]).toEqual([504, 'false']);
  expect(await whole.json()).toMatchObject({ error: { code: 'timeout' } });
  expect(await streamed.text()).toMatch(
    /\n\ndata: \{"error":\{"message":"the request was not done after 0.1 s"[^\n]*\n\n$/,
  );
  await settled(() => server.batcher.state.pagesUsed === 0);
});

test('a drain lets requests end and takes no more; past its time it ends them', async () => {
  const { step, close, open } = gate();
  const server = start({}, { rows: 2, beforeStep: step });
  const body = { model: 'tiny', prompt: 'So', max_tokens: 3 };
  close();
  const under = [0, 1, 2].map(() => server.post(COMPLETIONS, body));
  await settled(() => server.batcher.state.running + server.batcher.state.waiting === 3);
  const drained = server.batcher.drain(60);
  const late = await server.post(COMPLETIONS, body);
  expect([late.status, late.headers.get('retry-after'), (await server.get('/health')).status]).toEqual([
    503,
    '10',
    503,
  ]);
  open();
  await drained;
  expect((await Promise.all(under)).map(({ status }) => status)).toEqual([200, 200, 200]);

  const hasty = start({}, { rows: 1, beforeStep: () => new Promise((resolve) => setTimeout(resolve, 10)) });
  const long = hasty.post(COMPLETIONS, { ...body, max_tokens: 60, ignore_eos: true });
  await settled(() => hasty.batcher.state.running === 1);
  await hasty.batcher.drain(0.05);
  expect((await long).status).toBe(503);
  expect(hasty.batcher.state).toMatchObject({ running: 0, pagesUsed: 0 });
});

test('a GPU that fails ends what is under way, and says so once and for all', async () => {
  const failure = new Error('device lost');
  const server = start({}, { beforeStep: () => Promise.reject(failure) });
  const response = await server.post(COMPLETIONS, { model: 'tiny', prompt: 'So' });
  expect([response.status, await response.json()]).toMatchObject([
    500,
    { error: { type: 'server_error', code: 'internal_error' } },
  ]);
  expect(server.errors).toEqual([failure]);
  expect((await server.post(COMPLETIONS, { model: 'tiny', prompt: 'So' })).status).toBe(503);
  expect([(await server.get('/health')).status, await (await server.get('/health')).json()]).toEqual([
    503,
    { status: 'failed' },
  ]);
});
