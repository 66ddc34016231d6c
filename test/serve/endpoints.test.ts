/** What requests get, by shape and by value: whole and streamed, scored and drawn. */
import { Validator } from '@seriousme/openapi-schema-validator';
import { expect, test } from 'vitest';
import type { z } from 'zod';
import {
  chatChunk,
  chatResponse,
  completionChunk,
  completionResponse,
  errorResponse,
  modelsResponse,
} from '../../src/serve/responses.ts';
import { CONTEXT, eventsOf, MODELS, start, tokenizer } from './app.ts';

const server = start();
const COMPLETIONS = '/v1/completions';
const CHAT = '/v1/chat/completions';

type Completion = z.output<typeof completionResponse>;
type Chat = z.output<typeof chatResponse>;

async function completion(body: object): Promise<Completion> {
  const response = await server.post(COMPLETIONS, { model: 'tiny', ...body });
  const json: unknown = await response.json();
  expect([response.status, json]).toEqual([200, expect.anything()]);
  return completionResponse.parse(json);
}

async function chat(body: object): Promise<Chat> {
  const response = await server.post(CHAT, { model: 'tiny', messages: [{ role: 'user', content: 'So' }], ...body });
  const json: unknown = await response.json();
  expect([response.status, json]).toEqual([200, expect.anything()]);
  return chatResponse.parse(json);
}

test('models are the base and its adapters, by any name', async () => {
  const list = modelsResponse.parse(await (await server.get('/v1/models')).json());
  expect(list.data.map(({ id }) => id)).toEqual(MODELS);
  expect(list.data.map(({ parent }) => parent)).toEqual([null, 'tiny', 'tiny']);
  for (const path of ['org/code', 'org%2Fcode'])
    expect(await (await server.get(`/v1/models/${path}`)).json()).toMatchObject({ id: 'org/code' });
});

test('a completion has 16 tokens, and its usage; the name of the model picks the adapter', async () => {
  const texts = new Set<string>();
  for (const model of MODELS) {
    const { choices, usage, ...head } = await completion({ model, prompt: 'It was', temperature: 0 });
    expect(head).toMatchObject({ object: 'text_completion', model });
    expect(choices).toMatchObject([{ index: 0, finish_reason: 'length', logprobs: null }]);
    const prompt_tokens = tokenizer.encode('It was').length;
    expect(usage).toEqual({ prompt_tokens, completion_tokens: 16, total_tokens: prompt_tokens + 16 });
    texts.add((choices[0] as { text: string }).text);
  }
  expect(texts.size).toBe(MODELS.length);
});

test('a seed draws the same again; choices and prompts differ', async () => {
  const body = { prompt: 'It was', seed: -7, n: 3 };
  const texts = async () => (await completion(body)).choices.map(({ text }) => text);
  const first = await texts();
  expect(new Set(first).size).toBe(3);
  expect(await texts()).toEqual(first);
  // 2 ** 32 more is the same number of 32 bits
  expect((await completion({ ...body, seed: 2 ** 32 - 7 })).choices.map(({ text }) => text)).toEqual(first);
  expect((await completion({ ...body, seed: 8 })).choices.map(({ text }) => text)).not.toEqual(first);
});

test('prompts are a text, texts, tokens, or lists of tokens; choices come prompt by prompt', async () => {
  const texts = ['It was', 'So'];
  const ids = texts.map((text) => tokenizer.encode(text));
  const body = { temperature: 0, n: 2, max_tokens: 4 };
  const want = await completion({ ...body, prompt: texts });
  expect(want.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
  expect((await completion({ ...body, prompt: ids })).choices).toEqual(want.choices);
  expect((await completion({ ...body, prompt: ids[1] })).choices[0]?.text).toBe(want.choices[2]?.text);
  expect(want.usage.prompt_tokens).toBe(ids.flat().length);
});

test('echo with logprobs scores a prompt: null first, and an entry for each token after it', async () => {
  const ids = tokenizer.encode('It was the best');
  for (const max_tokens of [0, 1]) {
    const { choices, usage } = await completion({ prompt: ids, max_tokens, echo: true, logprobs: 1, temperature: 0 });
    const [{ logprobs, text, finish_reason }] = choices as [Completion['choices'][number]];
    const entries = ids.length + max_tokens;
    expect(logprobs?.token_logprobs).toHaveLength(entries);
    expect([logprobs?.token_logprobs[0], logprobs?.top_logprobs[0]]).toEqual([null, null]);
    expect(logprobs?.tokens.slice(1, ids.length).join('')).toBe('It was the best');
    expect(text.startsWith('It was the best')).toBe(true);
    expect(logprobs?.text_offset.slice(0, 3)).toEqual([0, 0, logprobs?.tokens[1]?.length]);
    expect([finish_reason, usage.completion_tokens]).toEqual(['length', max_tokens]);
    for (const [i, top] of (logprobs?.top_logprobs ?? []).entries()) {
      if (top === null) continue;
      // lm-eval takes a token for the likeliest where its number is the largest
      expect(Math.max(...Object.values(top))).toBeGreaterThanOrEqual(logprobs?.token_logprobs[i] as number);
    }
    if (max_tokens === 1)
      expect(Math.max(...Object.values(logprobs?.top_logprobs.at(-1) ?? {}))).toBe(logprobs?.token_logprobs.at(-1));
  }
});

test('log-probabilities of a prompt are those that its tokens have as they are generated', async () => {
  const made = await completion({ prompt: 'It was', temperature: 0, max_tokens: 6, logprobs: 2, echo: true });
  const logprobs = made.choices[0]?.logprobs;
  const again = await completion({ prompt: made.choices[0]?.text, max_tokens: 0, logprobs: 2, echo: true });
  // the text may be cut into other tokens than were generated
  if (again.choices[0]?.logprobs?.tokens.join() === logprobs?.tokens.join())
    expect(again.choices[0]?.logprobs).toEqual(logprobs);
  const ids = tokenizer.encode('It was');
  const scored = await completion({ prompt: ids, max_tokens: 0, logprobs: 2, echo: true });
  expect(scored.choices[0]?.logprobs?.token_logprobs).toEqual(logprobs?.token_logprobs.slice(0, ids.length));
});

test('a stop text ends a choice and is no part of it', async () => {
  const body = { prompt: 'It was', temperature: 0, max_tokens: 20 };
  const text = (await completion(body)).choices[0]?.text ?? '';
  const stop = text.slice(8, 12);
  const [stopped] = (await completion({ ...body, stop: [stop, 'nowhere'] })).choices;
  expect(stopped).toMatchObject({ text: text.slice(0, text.indexOf(stop)), finish_reason: 'stop' });
});

test('a stream has the text of the whole answer, piece by piece', async () => {
  const body = { model: 'law', prompt: ['It was', 'So'], temperature: 0, n: 2, echo: true, logprobs: 1, max_tokens: 9 };
  const whole = completionResponse.parse(await (await server.post(COMPLETIONS, body)).json());
  const response = await server.post(COMPLETIONS, { ...body, stream: true, stream_options: { include_usage: true } });
  expect(response.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
  const chunks = (await eventsOf(response)).map((chunk) => completionChunk.parse(chunk));
  for (const { index, text, logprobs, finish_reason } of whole.choices) {
    const own = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
    expect(own.map((choice) => choice.text).join('')).toBe(text);
    expect(own.flatMap((choice) => choice.logprobs?.token_logprobs ?? [])).toEqual(logprobs?.token_logprobs);
    expect(own.flatMap((choice) => choice.logprobs?.text_offset ?? [])).toEqual(logprobs?.text_offset);
    expect(own.map((choice) => choice.finish_reason).filter((reason) => reason !== null)).toEqual([finish_reason]);
  }
  expect(new Set(chunks.map(({ id }) => id)).size).toBe(1);
  const usages = chunks.map(({ usage }) => usage);
  expect(usages.at(-1)).toEqual(whole.usage);
  expect(usages.slice(0, -1).every((usage) => usage === null)).toBe(true);
});

test('a chat goes through the template; parts are joined, developer is system', async () => {
  const want = await completion({
    prompt: '<system> Be brief <user> So\nit is <assistant>',
    temperature: 0,
    max_tokens: 8,
    add_special_tokens: false,
  });
  const messages = [
    { role: 'developer', content: 'Be brief' },
    {
      role: 'user',
      content: [
        { type: 'text', text: 'So' },
        { type: 'text', text: 'it is' },
      ],
      name: null,
    },
  ];
  const made = await chat({ messages, temperature: 0, max_completion_tokens: 8 });
  expect(made.choices).toMatchObject([{ message: { role: 'assistant', refusal: null }, finish_reason: 'length' }]);
  expect(made.choices[0]?.message.content.trim()).toBe(want.choices[0]?.text.trim());
  expect(made.usage).toEqual(want.usage);
});

test('a chat without a limit goes on to the end of the context', async () => {
  const { usage } = await chat({ temperature: 0, ignore_eos: true });
  expect(usage.total_tokens).toBe(CONTEXT);
});

test('log-probabilities of a chat name each token, its bytes and the likeliest', async () => {
  const { choices } = await chat({ temperature: 0, max_tokens: 5, logprobs: true, top_logprobs: 3 });
  const [{ logprobs, message }] = choices as [Chat['choices'][number]];
  expect(logprobs?.content).toHaveLength(5);
  for (const { token, logprob, bytes, top_logprobs } of logprobs?.content ?? []) {
    expect(top_logprobs[0]).toEqual({ token, logprob, bytes });
    expect(top_logprobs).toHaveLength(3);
    if (bytes !== null) expect(new TextDecoder().decode(Uint8Array.from(bytes))).toBe(token);
  }
  const [none] = (await chat({ temperature: 0, max_tokens: 5, logprobs: true })).choices;
  expect(none?.logprobs?.content.map(({ top_logprobs }) => top_logprobs)).toEqual([[], [], [], [], []]);
  expect(none?.message).toEqual(message);
});

test('a streamed chat begins with the role and ends with a reason', async () => {
  const body = { model: 'law', messages: [{ role: 'user', content: 'So' }], seed: 3, n: 2, max_tokens: 7 };
  const whole = chatResponse.parse(await (await server.post(CHAT, body)).json());
  const chunks = (await eventsOf(await server.post(CHAT, { ...body, stream: true }))).map((chunk) =>
    chatChunk.parse(chunk),
  );
  expect(chunks.some((chunk) => 'usage' in chunk)).toBe(false);
  for (const { index, message } of whole.choices) {
    const own = chunks.flatMap(({ choices }) => choices.filter((choice) => choice.index === index));
    expect(own[0]?.delta).toEqual({ role: 'assistant', content: '' });
    expect(own.map(({ delta }) => delta.content ?? '').join('')).toBe(message.content);
    expect(own.at(-1)?.finish_reason).toBe(whole.choices[index]?.finish_reason);
  }
});

test('the OpenAPI document is valid, and names every parameter that is taken', async () => {
  const document = (await (await server.get('/openapi.json')).json()) as {
    paths: object;
    components: { schemas: Record<string, { properties: object }> };
  };
  const { valid, errors } = await new Validator().validate(structuredClone(document));
  expect([valid, errors]).toEqual([true, undefined]);
  expect(Object.keys(document.paths)).toHaveLength(8);
  expect(Object.keys(document.components.schemas.ChatRequest?.properties ?? {})).toContain('max_completion_tokens');
  expect(JSON.stringify(document)).not.toContain('unfollowed');
});

test('metrics are in the text format of Prometheus, and count', async () => {
  const own = start();
  await own.post(COMPLETIONS, { model: 'tiny', prompt: 'So', max_tokens: 3, ignore_eos: true });
  await own.get('/made/up');
  const response = await own.get('/metrics');
  expect(response.headers.get('content-type')).toBe('text/plain; version=0.0.4; charset=utf-8');
  const text = await response.text();
  const sample = /^[a-z_]+(\{[a-z_]+="[^"\n]*"(,[a-z_]+="[^"\n]*")*\})? (\d+(\.\d+)?(e-?\d+)?)$/;
  const stray = text
    .trimEnd()
    .split('\n')
    .filter((line) => !sample.test(line) && !/^# (HELP|TYPE) [a-z_]+ ./.test(line));
  expect(stray).toEqual([]);
  for (const line of [
    'nibble_generated_tokens_total 3',
    'nibble_requests_total{path="other",status="404"} 1',
    'nibble_request_seconds_count 1',
    'nibble_cache_pages 16',
    'nibble_cache_pages_used 0',
    'nibble_gpu_bytes{category="base_weights"} 5',
    'process_resident_memory_bytes 7',
  ])
    expect(text.split('\n')).toContain(line);
});

test('the page may run its own script and style, and nothing else', async () => {
  const response = await server.get('/');
  const policy = response.headers.get('content-security-policy') ?? '';
  const hash = async (text: string) =>
    Buffer.from(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text))).toString('base64');
  expect(policy).toContain(`script-src 'sha256-${await hash('let a;')}';`);
  expect(policy).toContain(`style-src 'sha256-${await hash('a{}')}';`);
  expect(policy).toMatch(/^default-src 'none';/);
});

test('an error has the shape of OpenAI', async () => {
  const response = await server.post(COMPLETIONS, { model: 'gone', prompt: 'So' });
  const { error } = errorResponse.parse(await response.json());
  expect([response.status, error.param, error.code]).toEqual([404, 'model', 'model_not_found']);
  expect(error.message).toContain('there are tiny, law, org/code');
});
