/** Failures of a request, with the status and the body that OpenAI's clients expect. */
import { ConfigError, DataError } from '../errors.ts';

export type ErrorBody = {
  readonly error: {
    readonly message: string;
    readonly type: string;
    readonly param: string | null;
    readonly code: string | null;
  };
};

/** A failure that its client is told of. */
export class ApiError extends Error {
  override readonly name = 'ApiError';
  readonly status: number;
  readonly type: string;
  readonly param: string | null;
  readonly code: string | null;
  readonly headers: Readonly<Record<string, string>>;

  constructor(
    status: number,
    message: string,
    more: {
      readonly type?: string;
      readonly param?: string | null;
      readonly code?: string | null;
      readonly headers?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message);
    this.status = status;
    this.type = more.type ?? (status < 500 ? 'invalid_request_error' : 'server_error');
    this.param = more.param ?? null;
    this.code = more.code ?? null;
    this.headers = more.headers ?? {};
  }

  get body(): ErrorBody {
    const { message, type, param, code } = this;
    return { error: { message, type, param, code } };
  }

  get response(): Response {
    return Response.json(this.body, { status: this.status, headers: this.headers });
  }
}

/** A request that asks for what is not there, or cannot be. */
export const badRequest = (message: string, param: string | null = null, code: string | null = null): ApiError =>
  new ApiError(400, message, { param, code });

/** Turned away for now: too much waits, or the server ends. */
export const tryLater = (status: 429 | 503, message: string, seconds: number): ApiError =>
  new ApiError(status, message, {
    type: status === 429 ? 'rate_limit_error' : 'server_error',
    code: status === 429 ? 'rate_limit_exceeded' : 'service_unavailable',
    headers: { 'Retry-After': String(seconds) },
  });

/** What a failure is to its client. Of a bug, or of the machine, it learns no more than that there was one. */
export function asApiError(error: unknown): ApiError {
  if (error instanceof ApiError) return error;
  if (error instanceof ConfigError || error instanceof DataError) return badRequest(error.message);
  return new ApiError(500, 'the server failed; its log says why', { code: 'internal_error' });
}
