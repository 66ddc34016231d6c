/** Names on the Hugging Face hub, and the layout of its cache as huggingface_hub 1.x keeps it. Pure: no file, no network. */

export type RepoType = 'model' | 'dataset';

/** A repository of the hub at a revision: a branch, a tag or a commit. */
export type HubName = { readonly type: RepoType; readonly id: string; readonly revision: string };

/** A file of a repository, as the hub lists it. */
export type RepoFile = {
  /** Below the repository, with forward slashes. */
  readonly path: string;
  /** Bytes of its content. */
  readonly size: number;
  /** Name of its blob in the cache: the SHA-256 of content in LFS or Xet, else git's SHA-1 of the blob. */
  readonly etag: string;
  /** What `etag` is a hash of: the content, or git's head and the content. */
  readonly hash: 'sha256' | 'git';
};

export const DEFAULT_REVISION = 'main';

const PART = '[A-Za-z0-9_][A-Za-z0-9._-]{0,95}';
const NAME = new RegExp(`^(${PART}/${PART})(?:@([^\\s@]+))?$`);
const COMMIT = /^[0-9a-f]{40}$/;
/** Endings of local files, which no repository of models or rows has. */
const LOCAL_FILE = /\.(jsonl?|txt|[ct]sv|parquet|gz|ya?ml|safetensors|bin|gguf)$/i;

/**
 * Reads ORG/NAME, or ORG/NAME@REVISION; null for anything else: paths that begin with a dot, a slash or ~, that have more
 * than one slash or none, and names of files.
 */
export function parseHubName(given: string): { readonly id: string; readonly revision: string | null } | null {
  const [, id, revision = null] = NAME.exec(given) ?? [];
  return id === undefined || LOCAL_FILE.test(id) || id.includes('..') ? null : { id, revision };
}

export const isCommit = (revision: string): boolean => COMMIT.test(revision);

/** Folder of a repository in the cache. */
export function repoFolder({ type, id }: Pick<HubName, 'type' | 'id'>): string {
  return `${type}s--${id.replaceAll('/', '--')}`;
}

/** Places in the cache, relative to the folder of a repository. */
export const refPath = (revision: string): string => `refs/${revision}`;
export const snapshotPath = (commit: string): string => `snapshots/${commit}`;
export const blobPath = (etag: string): string => `blobs/${etag}`;
/** What is under way, and lists of files: ours, in a folder that huggingface_hub does not look into and deletes with the rest. */
export const partPath = (etag: string): string => `nibble/parts/${etag}`;
export const listPath = (commit: string): string => `nibble/files-${commit}.json`;

/** Where a link in a snapshot leads to its blob. */
export function linkTarget(path: string, etag: string): string {
  // out of the folders in the snapshot, of the commit and of snapshots
  return `${'../'.repeat(path.split('/').length + 1)}${blobPath(etag)}`;
}

/** Whether a path of a repository stays below the folder that it is put into, on any system. */
export function isSafePath(path: string): boolean {
  const parts = path.split(/[/\\]/);
  const isPlain = (part: string): boolean => part !== '' && part !== '.' && part !== '..' && !/[:\0]/.test(part);
  return !path.includes('\\') && parts.every(isPlain);
}

/** Whether a branch or tag can be the name of a file below refs/. */
export const isSafeRevision = (revision: string): boolean => isSafePath(revision) && !/[\s?#%*~^]/.test(revision);
