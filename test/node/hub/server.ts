/** A hub on this machine: the routes that are asked of huggingface.co, with files from memory and faults as a test wants them. */
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

export type Repo = {
  readonly type: 'model' | 'dataset';
  readonly id: string;
  readonly commit: string;
  /** Branches and tags beside main. */
  readonly refs?: Readonly<Record<string, string>>;
  readonly files: Readonly<Record<string, string | Uint8Array>>;
  /** Files from this size on are in LFS. */
  readonly lfsBytes?: number;
  /** Only with this token. */
  readonly token?: string;
  readonly gated?: boolean;
};

/** A fault of one request, taken from the front of a list: after so many bytes the connection breaks, or a status. */
export type Fault =
  | { readonly dropAfter: number }
  | { readonly status: number; readonly headers?: Readonly<Record<string, string>> }
  | { readonly silentMs: number }
  | { readonly content: string }
  | { readonly ignoreRange: true };

export type Seen = { readonly path: string; readonly range: string | null; readonly authorization: string | null };

export type FakeHub = {
  readonly url: string;
  readonly requests: Seen[];
  /** Faults of requests whose path holds a text, in order. */
  readonly faults: Map<string, Fault[]>;
  /** Where files of LFS are redirected to; this server, unless another hub is given. */
  storage: string | null;
  close(): Promise<void>;
};

const bytesOf = (content: string | Uint8Array): Buffer => Buffer.from(content as Uint8Array);
const gitHash = (bytes: Buffer): string =>
  createHash('sha1').update(`blob ${bytes.length}\0`).update(bytes).digest('hex');
export const sha256 = (content: string | Uint8Array): string => createHash('sha256').update(content).digest('hex');

/** Starts a hub with these repositories. */
export async function fakeHub(repos: readonly Repo[]): Promise<FakeHub> {
  const requests: Seen[] = [];
  const faults = new Map<string, Fault[]>();
  const hub = { storage: null as string | null };
  const server = createServer((request, response) => {
    const path = decodeURIComponent(new URL(request.url ?? '/', 'http://x').pathname);
    requests.push({
      path,
      range: request.headers.range ?? null,
      authorization: request.headers.authorization ?? null,
    });
    const fault = [...faults].find(([part, list]) => path.includes(part) && list.length > 0)?.[1].shift();
    void answer(repos, request, response, path, fault, hub.storage);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(hub, {
    url,
    requests,
    faults,
    close: () =>
      new Promise<void>((resolve) => {
        server.closeAllConnections();
        server.close(() => resolve());
      }),
  });
}

async function answer(
  repos: readonly Repo[],
  request: IncomingMessage,
  response: ServerResponse,
  path: string,
  fault: Fault | undefined,
  storage: string | null,
): Promise<void> {
  const refuse = (status: number, headers: Readonly<Record<string, string>> = {}): void => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers }).end('{"error": "refused"}');
  };
  if (fault !== undefined && 'status' in fault) return refuse(fault.status, fault.headers);
  if (fault !== undefined && 'silentMs' in fault) await new Promise((resolve) => setTimeout(resolve, fault.silentMs));
  const stored = /^\/storage\/(.*)$/.exec(path)?.[1];
  if (stored !== undefined) return send(storedBytes(repos, stored), request, response, fault);
  for (const repo of repos) {
    const api = `/api/${repo.type}s/${repo.id}/`;
    const files = `/${repo.type === 'dataset' ? 'datasets/' : ''}${repo.id}/resolve/`;
    if (!path.startsWith(api) && !path.startsWith(files)) continue;
    const isAllowed = repo.token === undefined || request.headers.authorization === `Bearer ${repo.token}`;
    if (!isAllowed) return refuse(401, { 'x-error-code': repo.gated === true ? 'GatedRepo' : 'RepoNotFound' });
    const refs: Record<string, string> = { main: repo.commit, ...repo.refs };
    for (const commit of Object.values(refs)) refs[commit] = commit;
    const [, kind, rest = ''] = /^(revision|tree)\/(.*)$/.exec(path.slice(api.length)) ?? [];
    if (path.startsWith(api)) {
      const commit = refs[rest];
      if (commit === undefined) return refuse(404, { 'x-error-code': 'RevisionNotFound' });
      const body = kind === 'revision' ? { _id: '1', id: repo.id, sha: commit } : tree(repo);
      response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
      return;
    }
    const [revision = '', ...parts] = path.slice(files.length).split('/');
    const content = refs[revision] === undefined ? undefined : repo.files[parts.join('/')];
    if (content === undefined) return refuse(404, { 'x-error-code': 'EntryNotFound' });
    const bytes = bytesOf(content);
    if (isLfs(repo, bytes)) {
      response.writeHead(302, { location: `${storage ?? ''}/storage/${sha256(bytes)}` }).end();
      return;
    }
    return send(bytes, request, response, fault);
  }
  refuse(401, { 'x-error-code': 'RepoNotFound' });
}

const isLfs = ({ lfsBytes = Number.POSITIVE_INFINITY }: Repo, bytes: Buffer): boolean => bytes.length >= lfsBytes;

function tree(repo: Repo): object[] {
  return Object.entries(repo.files).map(([path, content]) => {
    const bytes = bytesOf(content);
    const entry = { type: 'file', path, size: bytes.length, oid: gitHash(bytes) };
    return isLfs(repo, bytes) ? { ...entry, lfs: { oid: sha256(bytes), size: bytes.length, pointerSize: 134 } } : entry;
  });
}

function storedBytes(repos: readonly Repo[], hash: string): Buffer | undefined {
  return repos.flatMap(({ files }) => Object.values(files).map(bytesOf)).find((bytes) => sha256(bytes) === hash);
}

function send(
  whole: Buffer | undefined,
  request: IncomingMessage,
  response: ServerResponse,
  fault: Fault | undefined,
): void {
  if (whole === undefined) {
    response.writeHead(404).end();
    return;
  }
  const bytes = fault !== undefined && 'content' in fault ? Buffer.from(fault.content) : whole;
  const isRanged = request.headers.range !== undefined && !(fault !== undefined && 'ignoreRange' in fault);
  const from = isRanged ? Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1]) : 0;
  const body = bytes.subarray(from);
  const range = { 'content-range': `bytes ${from}-${bytes.length - 1}/${bytes.length}` };
  response.writeHead(isRanged ? 206 : 200, { 'content-length': String(body.length), ...(isRanged ? range : {}) });
  if (fault === undefined || !('dropAfter' in fault)) {
    response.end(body);
    return;
  }
  response.write(body.subarray(0, fault.dropAfter), () => setTimeout(() => response.destroy(), 100));
}
