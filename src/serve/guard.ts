/** Who may ask: the token, the Host that was meant, and the page that a browser asks for. */
import type { Context, MiddlewareHandler } from 'hono';
import { cors } from 'hono/cors';
import { ApiError } from './errors.ts';

export type Access = {
  /** Token of all requests but those for the page and /health; null where none is asked for. */
  readonly apiKey: string | null;
  /** Names in a Host header beside addresses and localhost. */
  readonly allowedHosts: readonly string[];
  /** Origins of other pages; * is any. */
  readonly allowedOrigins: readonly string[];
};

/** Paths that need no token: they tell nothing, and a page has to be there to ask for one. */
const OPEN = ['/', '/health', '/openapi.json'];

/** Requires the token. Digests are compared, so that the time says nothing about the token. */
export function requireToken({ apiKey }: Access): MiddlewareHandler {
  const wanted = apiKey === null ? null : digest(`Bearer ${apiKey}`);
  return async (c, next) => {
    if (wanted === null || OPEN.includes(c.req.path)) return next();
    const given = c.req.header('authorization') ?? '';
    if (sameBytes(await digest(given.replace(/^bearer +/i, 'Bearer ')), await wanted)) return next();
    const message =
      given === ''
        ? 'no token was given; send it as Authorization: Bearer TOKEN'
        : 'the token is not that of this server';
    throw new ApiError(401, message, {
      type: 'authentication_error',
      code: 'invalid_api_key',
      headers: { 'WWW-Authenticate': 'Bearer' },
    });
  };
}

const digest = async (text: string): Promise<Uint8Array> =>
  new Uint8Array(await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text)));

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  let difference = 0;
  a.forEach((byte, i) => {
    difference |= byte ^ (b[i] as number);
  });
  return difference === 0;
}

/** A page elsewhere may make its own name lead to this machine (DNS rebinding): without a token, a name has to be known. */
export function requireHost({ apiKey, allowedHosts }: Access): MiddlewareHandler {
  const known = new Set(allowedHosts.map((host) => host.toLowerCase()));
  return async (c, next) => {
    const name = nameOf(hostOf(c));
    const isFine = apiKey !== null || isAddress(name) || /(^|\.)localhost$/.test(name) || known.has(name);
    if (isFine) return next();
    const message = `the Host ${JSON.stringify(name.slice(0, 100))} is not one of this server's; start it with --allowed_hosts ${name.slice(0, 100)} if it is`;
    throw new ApiError(403, message, { code: 'host_not_allowed' });
  };
}

const hostOf = (c: Context): string => c.req.header('host') ?? new URL(c.req.url).host;

/** The name in a Host header, without its port. */
function nameOf(host: string): string {
  return host.toLowerCase().replace(/:\d*$/, '');
}

const isAddress = (name: string): boolean => /^\d{1,3}(\.\d{1,3}){3}$/.test(name) || /^\[[\da-f:.]+\]$/.test(name);

/** Refuses pages of other origins but those that are allowed, which are told so. */
export function requireOrigin({ allowedOrigins }: Access): MiddlewareHandler {
  const isAllowed = (origin: string): boolean => allowedOrigins.includes('*') || allowedOrigins.includes(origin);
  const tell = cors({
    origin: (origin) => (isAllowed(origin) ? origin : null),
    exposeHeaders: ['x-request-id', 'retry-after'],
    maxAge: 600,
  });
  return async (c, next) => {
    const origin = c.req.header('origin');
    if (origin === undefined || isOwn(origin, hostOf(c))) return next();
    if (isAllowed(origin)) return tell(c, next);
    const message = `pages of ${JSON.stringify(origin.slice(0, 100))} may not use this server; start it with --allowed_origins to let them`;
    throw new ApiError(403, message, { code: 'origin_not_allowed' });
  };
}

const isOwn = (origin: string, host: string): boolean => origin.replace(/^https?:\/\//, '') === host && origin !== host;
