/** Models by their names on the hub, against a hub on this machine: what is fetched, what is kept, and what goes wrong. */
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { ConfigError } from '../../../src/errors.ts';
import type { HubAccess } from '../../../src/node/hub-access.ts';
import { locate, type Need } from '../../../src/node/hub-models.ts';
import { type FakeHub, fakeHub, type Repo, sha256 } from './server.ts';

const COMMIT = 'a'.repeat(40);
const OLD = 'b'.repeat(40);
const WEIGHTS = Buffer.from(Array.from({ length: 300_000 }, (_, i) => (i * 7919) % 251));
const CONFIG = '{"model_type": "llama"}';
const index = (shards: object): string => JSON.stringify({ weight_map: shards });
const repo = (id: string, files: Repo['files'], more: Partial<Repo> = {}): Repo => ({
  type: 'model',
  id,
  commit: COMMIT,
  files,
  lfsBytes: 100_000,
  ...more,
});
const WHOLE = {
  'config.json': CONFIG,
  'tokenizer.json': '{}',
  'README.md': '# card',
  'pytorch_model.bin': 'pickle',
  'model.safetensors': WEIGHTS,
  'onnx/model.onnx': 'x',
};
const REPOS: Repo[] = [
  repo('org/model', WHOLE, { refs: { old: OLD, 'refs/pr/1': OLD } }),
  repo('org/shards', {
    'config.json': CONFIG,
    'model.safetensors.index.json': index({ a: 'model-2.safetensors', b: 'model-1.safetensors' }),
    'model-1.safetensors': 'one',
    'model-2.safetensors': 'two',
    'model-3.safetensors': 'of nobody',
  }),
  repo('org/torn', { 'config.json': CONFIG, 'model.safetensors.index.json': index({ a: 'gone.safetensors' }) }),
  repo('org/pickles', { 'config.json': CONFIG, 'pytorch_model.bin': 'pickle' }),
  repo('org/gguf', { 'q4.gguf': 'x' }),
  repo('org/adapter', { 'adapter_config.json': '{}', 'adapter_model.safetensors': 'A', 'optimizer.pt': 'x' }),
  repo('org/private', WHOLE, { token: 'hf_mine' }),
  repo('org/gated', WHOLE, { token: 'hf_mine', gated: true }),
];

let hub: FakeHub;
let storage: FakeHub;
let cache: string;
/** Where nobody listens. */
let nobody: string;
beforeAll(async () => {
  const gone = await fakeHub([]);
  nobody = gone.url;
  await gone.close();
  hub = await fakeHub(REPOS);
  storage = await fakeHub(REPOS);
});
afterAll(() => Promise.all([hub.close(), storage.close()]));
beforeEach(() => {
  cache = mkdtempSync(path.join(tmpdir(), 'nibble-hub-'));
  hub.storage = storage.url.replace('127.0.0.1', 'localhost');
  for (const server of [hub, storage]) {
    server.requests.length = 0;
    server.faults.clear();
  }
});
afterEach(() => rmSync(cache, { recursive: true }));

const notes: string[] = [];
const access = (more: Partial<HubAccess> = {}) => {
  notes.length = 0;
  return (): HubAccess => ({
    endpoint: hub.url,
    cache,
    token: null,
    offline: null,
    timeoutMs: 20_000,
    pauseMs: 5,
    signal: new AbortController().signal,
    onEvent: (event) => {
      if (event.type === 'note') notes.push(event.text);
    },
    ...more,
  });
};
const get = (id: string, more: Partial<HubAccess> = {}, need: Need = 'model', revision = 'main') =>
  locate(access(more), id, { need, setting: 'model_name_or_path', revision });
const fetched = (): string[] =>
  hub.requests.flatMap(({ path: at }) => /\/resolve\/[^/]+\/(.*)$/.exec(at)?.[1] ?? []).sort();
const folderOf = (id: string): string => path.join(cache, `models--${id.replace('/', '--')}`);
/** Every file below a folder that is not in the layout of huggingface_hub. */
const ours = (id: string): string[] =>
  readdirSync(path.join(folderOf(id), 'nibble'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => entry.name);
async function refusal(work: Promise<unknown>): Promise<string> {
  const error = await work.then(
    () => new Error('nothing was refused'),
    (thrown: unknown) => thrown as Error,
  );
  expect(error).toBeInstanceOf(ConfigError);
  return error.message;
}

describe('a model by its name on the hub', () => {
  test('lies in the cache as huggingface_hub lays it out, without pickles and other frameworks', async () => {
    const { folder, snapshot } = await get('org/model');
    expect(folder).toBe(path.join(folderOf('org/model'), 'snapshots', COMMIT));
    expect(snapshot).toMatchObject({ id: 'org/model', revision: 'main', commit: COMMIT });
    expect(readdirSync(folder).sort()).toEqual(['config.json', 'model.safetensors', 'tokenizer.json']);
    expect(readFileSync(path.join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(readlinkSync(path.join(folder, 'model.safetensors'))).toBe(`../../blobs/${sha256(WEIGHTS)}`);
    // git's hash of a blob: echo -n '{"model_type": "llama"}' | git hash-object --stdin
    expect(readlinkSync(path.join(folder, 'config.json'))).toBe('../../blobs/230d5f4da0da586aad26ead694ea67cd15bd6df1');
    expect(readFileSync(path.join(folderOf('org/model'), 'refs', 'main'), 'utf8')).toBe(COMMIT);
    expect(ours('org/model')).toEqual([`files-${COMMIT}.json`]);
  });

  test('is fetched once: a second time only the commit of the branch is asked for, and of a commit nothing', async () => {
    await get('org/model');
    hub.requests.length = 0;
    await get('org/model');
    expect(hub.requests.map(({ path: at }) => at)).toEqual(['/api/models/org/model/revision/main']);
    hub.requests.length = 0;
    await get(`org/model@${COMMIT}`);
    expect(hub.requests).toEqual([]);
  });

  test('has the shards that its index names, and no others', async () => {
    await get('org/shards');
    expect(fetched()).toEqual([
      'config.json',
      'model-1.safetensors',
      'model-2.safetensors',
      'model.safetensors.index.json',
    ]);
  });

  test('is config.json alone for an estimate, an adapter its two files', async () => {
    await get('org/model', {}, 'config');
    await get('org/adapter', {}, 'adapter');
    expect(fetched()).toEqual(['adapter_config.json', 'adapter_model.safetensors', 'config.json']);
  });

  test('is of the revision that is asked for, by its name or behind an @', async () => {
    expect((await get('org/model', {}, 'config', 'old')).snapshot?.commit).toBe(OLD);
    expect((await get('org/model@refs/pr/1', {}, 'config')).snapshot?.commit).toBe(OLD);
    expect(readFileSync(path.join(folderOf('org/model'), 'refs', 'refs', 'pr', '1'), 'utf8')).toBe(OLD);
    expect(await refusal(get('org/model@old', {}, 'config', 'other'))).toMatch(
      /names another revision .* other; keep one/,
    );
    expect(await refusal(get('org/model', {}, 'config', '../x'))).toContain('../x is no revision');
  });

  test('is what huggingface_hub has in the cache, without the network', async () => {
    const snapshot = path.join(folderOf('org/model'), 'snapshots', COMMIT);
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(path.join(folderOf('org/model'), 'refs'));
    writeFileSync(path.join(folderOf('org/model'), 'refs', 'main'), COMMIT);
    for (const [name, content] of Object.entries(WHOLE))
      if (!name.includes('/')) writeFileSync(path.join(snapshot, name), content);
    expect((await get('org/model', { offline: '--offline' })).folder).toBe(snapshot);
    expect(hub.requests).toEqual([]);
    await get('org/model');
    expect(fetched()).toEqual([]);
    const gone = await get('org/model', { endpoint: nobody });
    expect(gone.folder).toBe(snapshot);
    expect(notes.at(-1)).toContain(`org/model is taken from the cache, at commit ${COMMIT}`);
  });

  test('is a folder where there is one of that name, and a path is never asked for', async () => {
    for (const given of [
      './org/missing',
      '/org/missing',
      '~/org',
      'org',
      'a/b/c',
      'org/rows.jsonl',
      '../org/x',
      'org\\x',
    ])
      expect(await get(given)).toEqual({ folder: given, snapshot: null });
    const local = path.relative(process.cwd(), cache).split(path.sep);
    expect(await get(path.join(...local))).toEqual({ folder: path.join(...local), snapshot: null });
    expect(hub.requests).toEqual([]);
  });
});

describe('the network', () => {
  const BLOB = `/storage/${sha256(WEIGHTS)}`;

  test('may break: what came is kept, and gone on with', async () => {
    storage.faults.set(BLOB, [{ dropAfter: 100_000 }, { dropAfter: 50_000 }]);
    const { folder } = await get('org/model');
    const ranges = storage.requests.map(({ range }) => range);
    expect(ranges).toEqual([
      null,
      expect.stringMatching(/^bytes=[1-9]\d*-$/),
      expect.stringMatching(/^bytes=[1-9]\d*-$/),
    ]);
    expect(new Set(ranges).size).toBe(3);
    expect(readFileSync(path.join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(notes.join('\n')).toMatch(
      /closed the connection: model.safetensors of org\/model, trying again in .* \(2 of 4\)/,
    );
  });

  test('may be gone for long: nothing has the name of the file, and the next start goes on', async () => {
    storage.faults.set(BLOB, [{ dropAfter: 100_000 }, ...Array.from({ length: 3 }, () => ({ dropAfter: 10 }))]);
    expect(await refusal(get('org/model'))).toMatch(/closed the connection .*tried 4 times.*the next start goes on/);
    expect(existsSync(path.join(folderOf('org/model'), 'snapshots', COMMIT, 'model.safetensors'))).toBe(false);
    expect(readdirSync(path.join(folderOf('org/model'), 'blobs'))).not.toContain(sha256(WEIGHTS));
    storage.requests.length = 0;
    const { folder } = await get('org/model');
    expect(storage.requests.map(({ range }) => range)).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-$/)]);
    expect(readFileSync(path.join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
    expect(ours('org/model')).toEqual([`files-${COMMIT}.json`]);
  });

  test('may be without ranges: the file comes whole', async () => {
    storage.faults.set(BLOB, [{ dropAfter: 100_000 }, { ignoreRange: true }]);
    const { folder } = await get('org/model');
    expect(readFileSync(path.join(folder, 'model.safetensors')).equals(WEIGHTS)).toBe(true);
  });

  test('may be busy or silent for a while', async () => {
    hub.faults.set('/revision/main', [{ status: 503 }, { status: 429, headers: { 'retry-after': '0' } }]);
    hub.faults.set('/tree/', [{ silentMs: 2000 }]);
    await get('org/model', { timeoutMs: 1000 }, 'config');
    expect(notes).toEqual([
      expect.stringContaining('answers 503'),
      expect.stringContaining('answers 429'),
      expect.stringContaining('was silent for 1 s'),
      expect.stringContaining('fetching config.json of org/model'),
    ]);
  });

  test('may be of no use: the message has both places that were looked at', async () => {
    const message = await refusal(get('org/model', { endpoint: nobody }));
    expect(message).toMatch(
      /there is no folder org\/model in .*; http:\/\/127.0.0.1:\d+ cannot be reached: it refuses connections/,
    );
    hub.faults.set(
      '/revision/main',
      Array.from({ length: 4 }, () => ({ status: 500 })),
    );
    expect(await refusal(get('org/model'))).toMatch(/answers 500 \(org\/model at main, tried 4 times\)/);
  });

  test('may send something else: it is fetched again, and refused the second time', async () => {
    const other = { content: 'x'.repeat(WEIGHTS.length) };
    storage.faults.set(BLOB, [other]);
    await get('org/model');
    expect(notes.join('\n')).toContain('does not have the SHA-256 that the hub lists: fetching it again');
    hub.faults.set('config.json', [{ content: '{"model_type": "gpt!!"}' }, { content: '{"model_type": "gpt!!"}' }]);
    rmSync(folderOf('org/model'), { recursive: true });
    await expect(get('org/model', {}, 'config')).rejects.toThrow(
      /config.json of org\/model does not have the hash .* twice/,
    );
    expect(existsSync(path.join(folderOf('org/model'), 'snapshots'))).toBe(false);
    hub.faults.set('config.json', [{ content: `${CONFIG}too much` }]);
    await get('org/model', {}, 'config');
  });

  test('gets the token for the hub itself, and the host that it redirects to does not', async () => {
    await get('org/private', { token: 'hf_mine' });
    expect(new Set(hub.requests.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer hf_mine']));
    expect(storage.requests.map(({ authorization }) => authorization)).toEqual([null]);
  });

  test('is shared by two that fetch at once: each file comes once', async () => {
    storage.faults.set(BLOB, [{ silentMs: 1500 }]);
    const both = await Promise.all([get('org/model'), get('org/model')]);
    expect(both[0]?.folder).toBe(both[1]?.folder);
    expect(storage.requests).toHaveLength(1);
    expect(notes.join('\n')).toContain('another process fetches model.safetensors of org/model: waiting for it');
  });

  test('ends with the signal, and leaves what came', async () => {
    storage.faults.set(BLOB, [{ dropAfter: 100_000 }, { silentMs: 3000 }]);
    const stop = new AbortController();
    const ended = get('org/model', { signal: stop.signal });
    await vi.waitFor(() => expect(storage.requests).toHaveLength(2), { timeout: 5000 });
    stop.abort(new Error('stopped'));
    await expect(ended).rejects.toThrow('stopped');
    expect(ours('org/model')).toContain('content');
  });
});

describe('a repository that does not do', () => {
  const CASES: [what: string, message: Promise<string> | (() => Promise<string>), RegExp][] = [
    [
      'nothing of that name',
      () => refusal(get('org/gone')),
      /no folder org\/gone in .*, and no model org\/gone on .* \(401\)\. Check the name\. If it is private or gated, set HF_TOKEN/,
    ],
    [
      'one that is private',
      () => refusal(get('org/private', { token: 'hf_other' })),
      /the token in use may not read it/,
    ],
    [
      'one that is gated',
      () => refusal(get('org/gated')),
      /org\/gated is gated \(401\): its licence has to be accepted on http.*\/org\/gated by an account, and set HF_TOKEN/,
    ],
    ['no such revision', () => refusal(get('org/model', {}, 'model', 'v9')), /org\/model has no revision v9 \(404\)/],
    [
      'pickles alone',
      () => refusal(get('org/pickles')),
      /has neither model.safetensors .*pytorch_model.bin is a pickle.*It was not fetched/,
    ],
    ['GGUF', () => refusal(get('org/gguf')), /has GGUF files \(q4.gguf\), which are not read/],
    ['an adapter for a model', () => refusal(get('org/adapter')), /is an adapter .*give its base as the model/],
    [
      'a model for an adapter',
      () => refusal(get('org/model', {}, 'adapter')),
      /has no adapter_config.json; wanted a PEFT adapter/,
    ],
    ['an index of a shard that is not there', () => refusal(get('org/torn')), /names the shard gone.safetensors/],
    [
      'nothing in the cache',
      () => refusal(get('org/model', { offline: 'HF_HUB_OFFLINE' })),
      /no folder org\/model in .*; HF_HUB_OFFLINE allows no network, and the cache \(.*\) has no org\/model at revision main/,
    ],
  ];
  for (const [what, message, wanted] of CASES)
    test(what, async () => expect(await (typeof message === 'function' ? message() : message)).toMatch(wanted));

  test('a cache that has a part of it', async () => {
    await get('org/model', {}, 'config');
    expect(await refusal(get('org/model', { offline: '--offline' }))).toMatch(
      /--offline allows no network, and the cache .* does not have (tokenizer.json|model.safetensors) of org\/model/,
    );
  });
});
