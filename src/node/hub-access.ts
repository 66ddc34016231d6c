/** How this process reaches the Hugging Face hub and where it keeps what it fetched: the variables of huggingface_hub. */
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { ConfigError } from '../errors.ts';
import { cacheHome, homeFolder } from './cache-home.ts';
import type { WorkEvent } from './call.ts';

type Environment = Readonly<Record<string, string | undefined>>;

export type HubEvent = WorkEvent<'download'>;

export type HubAccess = {
  /** Without a slash at its end. */
  readonly endpoint: string;
  /** Folder of the cache. */
  readonly cache: string;
  readonly token: string | null;
  /** What forbids the network, as messages name it; null where nothing does. */
  readonly offline: string | null;
  /** Silence of the hub after which a request is given up and made again. */
  readonly timeoutMs: number;
  /** Pause before the second try; it doubles with each further one. */
  readonly pauseMs: number;
  readonly signal: AbortSignal;
  readonly onEvent: (event: HubEvent) => void;
};

const HUB = 'https://huggingface.co';
/** Seconds; huggingface_hub has the same. */
const DEFAULT_TIMEOUT = 10;
const FIRST_PAUSE_MS = 1000;
const YES = /^(1|on|yes|true)$/i;

type Asked = {
  readonly offline: boolean;
  readonly signal: AbortSignal;
  readonly onEvent: (event: HubEvent) => void;
};

/** Reads the environment. @throws ConfigError for a variable that cannot be followed, or without any folder for a cache */
export function hubAccess({ offline, signal, onEvent }: Asked, env: Environment = process.env): HubAccess {
  return {
    endpoint: endpointOf(env),
    cache: cacheOf(env),
    token: tokenOf(env),
    offline: offline ? '--offline' : YES.test(env.HF_HUB_OFFLINE ?? '') ? 'HF_HUB_OFFLINE' : null,
    timeoutMs: 1000 * timeoutOf(env),
    pauseMs: FIRST_PAUSE_MS,
    signal,
    onEvent,
  };
}

function endpointOf({ HF_ENDPOINT: given }: Environment): string {
  if (given === undefined || given === '') return HUB;
  if (/^https?:$/.test(protocolOf(given))) return given.replace(/\/+$/, '');
  throw problem('HF_ENDPOINT', `got ${JSON.stringify(given)}, wanted a URL such as ${HUB}`);
}

function protocolOf(url: string): string {
  return URL.canParse(url) ? new URL(url).protocol : '';
}

function cacheOf(env: Environment): string {
  const given = env.HF_HUB_CACHE || env.HUGGINGFACE_HUB_CACHE;
  if (given) return expanded(given);
  const home = hubHome(env);
  if (home !== null) return path.join(home, 'hub');
  throw problem('HF_HOME', 'is not set, and this user has no home folder: set it to a folder for the cache of the hub');
}

function hubHome(env: Environment): string | null {
  if (env.HF_HOME) return expanded(env.HF_HOME);
  const cache = cacheHome(env);
  return cache === null ? null : path.join(cache, 'huggingface');
}

function expanded(folder: string): string {
  const home = homeFolder();
  return path.resolve(home === null ? folder : folder.replace(/^~(?=$|[/\\])/, home));
}

/** HF_TOKEN, or what `hf auth login` left. */
function tokenOf(env: Environment): string | null {
  if (YES.test(env.HF_HUB_DISABLE_IMPLICIT_TOKEN ?? '')) return null;
  const given = (env.HF_TOKEN || env.HUGGING_FACE_HUB_TOKEN || '').trim();
  if (given !== '') return given;
  const home = hubHome(env);
  const file = env.HF_TOKEN_PATH ? expanded(env.HF_TOKEN_PATH) : home === null ? null : path.join(home, 'token');
  try {
    return file === null ? null : readFileSync(file, 'utf8').trim() || null;
  } catch {
    return null;
  }
}

function timeoutOf({ HF_HUB_DOWNLOAD_TIMEOUT: given }: Environment): number {
  if (given === undefined || given === '') return DEFAULT_TIMEOUT;
  const seconds = Number(given);
  if (Number.isFinite(seconds) && seconds > 0) return seconds;
  throw problem('HF_HUB_DOWNLOAD_TIMEOUT', `got ${JSON.stringify(given)}, wanted seconds above 0`);
}

const problem = (name: string, message: string): ConfigError => new ConfigError([{ path: name, message }]);
