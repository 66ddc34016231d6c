/** An HTTP server around a fetch handler: limits of headers, time and connections, and failures in OpenAI's form. */
import { createServer, type Server, type ServerResponse, STATUS_CODES } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { getRequestListener } from '@hono/node-server';
import { ConfigError } from '../errors.ts';
import { ApiError } from '../serve/errors.ts';

export type ListenOptions = {
  readonly host: string;
  readonly port: number;
  /** Seconds in which a request, headers and body, has to arrive. */
  readonly bodyTimeout: number;
  /** Seconds that an answer may take. */
  readonly requestTimeout: number;
  readonly maxConnections: number;
};

export type Listening = {
  readonly url: string;
  readonly port: number;
  /** Takes no more connections; resolves when those there are have ended, and ends them after some seconds. */
  close(seconds: number): Promise<void>;
};

type Fetch = (request: Request) => Promise<Response>;

const MS = 1000;
/** Names, a token and the like; Node's own default. */
const MAX_HEADER_BYTES = 16 * 1024;
/** How often requests that do not arrive are looked for. */
const CHECK_MS = 500;
/** A connection that neither reads nor writes for this long after the time of an answer is given up. */
const GRACE_SECONDS = 30;
const KEEP_ALIVE_MS = 5000;
const CLOSE_IDLE_MS = 50;

/** Starts listening. @throws ConfigError where the address cannot be had */
export async function listen(handler: Fetch, options: ListenOptions): Promise<Listening> {
  const { host, port, bodyTimeout, requestTimeout, maxConnections } = options;
  const listener = getRequestListener(handler, {
    overrideGlobalObjects: false,
    // what cannot be made a request, such as a Host that is no host
    errorHandler: () => new ApiError(400, 'the request is not HTTP as it should be', { code: 'bad_request' }).response,
  });
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: bodyTimeout * MS,
      requestTimeout: bodyTimeout * MS,
      connectionsCheckingInterval: CHECK_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      noDelay: true,
      // Node's own refusal of a request without a Host has no body
      requireHostHeader: false,
    },
    (request, response) => void listener(request, response),
  );
  server.maxConnections = maxConnections;
  server.timeout = (requestTimeout + GRACE_SECONDS) * MS;
  server.on('clientError', refuse);
  // who expects anything but 100-continue gets a refusal without a body from Node
  server.on('checkExpectation', (request, response) => void listener(request, response));
  await bound(server, host, port);
  const address = server.address() as AddressInfo;
  const shown = address.family === 'IPv6' ? `[${address.address}]` : address.address;
  return {
    url: `http://${shown}:${address.port}`,
    port: address.port,
    close: (seconds) => closed(server, seconds),
  };
}

async function bound(server: Server, host: string, port: number): Promise<void> {
  try {
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, host.replace(/^\[(.*)\]$/, '$1'), () => {
        server.off('error', reject);
        resolve();
      });
    });
  } catch (error) {
    const { code = '' } = error as NodeJS.ErrnoException;
    const known = REASONS[code];
    if (known === undefined) throw error;
    throw new ConfigError([
      { path: known.path, message: `${known.path === 'host' ? host : port} ${known.why} (${code})` },
    ]);
  }
}

const REASONS: Readonly<Record<string, { readonly path: 'host' | 'port'; readonly why: string }>> = {
  EADDRINUSE: { path: 'port', why: 'is taken by another program; end it, or give another port' },
  EACCES: { path: 'port', why: 'may not be listened on; give one above 1023' },
  EADDRNOTAVAIL: { path: 'host', why: 'is no address of this machine; give one that it has, or 0.0.0.0 for all' },
  ENOTFOUND: { path: 'host', why: 'is no name that this machine knows; give an address' },
  EAI_AGAIN: { path: 'host', why: 'is no name that this machine knows; give an address' },
};

/** Answers what is no request: too large, too slow, or not HTTP. */
function refuse(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy();
  // an answer that has begun cannot be followed by another
  const { _httpMessage: begun } = socket as Socket & { _httpMessage?: ServerResponse };
  if (begun?.headersSent === true) return void socket.destroy();
  const { status, body } = refusalOf(error.code);
  const text = JSON.stringify(body);
  socket.end(
    `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\nContent-Type: application/json\r\n` +
      `Content-Length: ${Buffer.byteLength(text)}\r\nConnection: close\r\n\r\n${text}`,
  );
}

function refusalOf(code: string | undefined): ApiError {
  if (code === 'HPE_HEADER_OVERFLOW')
    return new ApiError(431, `the headers are larger than ${MAX_HEADER_BYTES} bytes`, { code: 'headers_too_large' });
  if (code === 'ERR_HTTP_REQUEST_TIMEOUT')
    return new ApiError(408, 'the request did not arrive in time', { code: 'request_timeout' });
  return new ApiError(400, 'this is not HTTP/1.1', { code: 'bad_request' });
}

async function closed(server: Server, seconds: number): Promise<void> {
  const timer = setTimeout(() => server.closeAllConnections(), seconds * MS);
  // a connection that is kept alive comes to rest again with each answer
  const resting = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_MS);
  await new Promise<void>((resolve) => {
    server.close(() => resolve());
    server.closeIdleConnections();
  });
  clearTimeout(timer);
  clearInterval(resting);
}
