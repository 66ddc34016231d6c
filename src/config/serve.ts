/** The settings of `nibble serve`: the model's by the names that generation has, the server's by those of vLLM where it has them. */
import { z } from 'zod';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { sizeType } from './bytes.ts';
import { checkedSettings } from './checked-settings.ts';
import { generateSettings, modelSettings } from './generate.ts';

const { shape } = generateSettings;
const names = z.array(z.string().min(1)).default([]);
const seconds = z.number().gt(0).max(86_400);
const HIGHEST_PORT = 65_535;

/** The variable that --api_key may stand in: a flag is seen by everyone who lists processes. */
export const API_KEY_VARIABLE = 'NIBBLE_API_KEY';

export const serveSettings = z.strictObject({
  ...modelSettings,
  chat_template_path: shape.chat_template_path,
  served_model_name: z
    .string()
    .min(1)
    .nullable()
    .default(null)
    .describe("what requests call the base; null takes its folder's name, or its name on the hub"),
  max_model_len: z
    .int()
    .min(2)
    .nullable()
    .default(null)
    .describe("most tokens of a prompt and its text together; null takes the model's context, at most 4096"),
  batch_size: shape.batch_size.describe('sequences that are under way at once; others wait'),
  kv_cache_tokens: z
    .int()
    .min(1)
    .nullable()
    .default(null)
    .describe('tokens that the cache holds for all sequences; null takes batch_size times max_model_len'),
  host: z.string().min(1).default('127.0.0.1').describe('address to listen on'),
  port: z.int().min(0).max(HIGHEST_PORT).default(8000).describe('port to listen on; 0 takes a free one'),
  api_key: z
    .string()
    .regex(/^[!-~]+$/)
    .nullable()
    .default(null)
    .describe(
      `token that requests have to bring (Authorization: Bearer ...); ${API_KEY_VARIABLE} is not seen by others`,
    ),
  allow_unauthenticated: z.boolean().default(false).describe('listen beyond this machine without a token'),
  allowed_hosts: names.describe(
    'names in a Host header, beside addresses and localhost, that are answered without a token',
  ),
  allowed_origins: names.describe('origins such as https://example.org whose pages may send requests; * is any'),
  max_queue: z.int().min(0).default(256).describe('sequences that may wait; more are refused with status 429'),
  max_body_size: sizeType.default('1MiB').describe('size of a request'),
  body_timeout: seconds.default(30).describe('seconds in which a request has to arrive'),
  request_timeout: seconds
    .default(600)
    .describe('seconds after which a request that still waits or generates is ended'),
  drain_timeout: seconds
    .default(60)
    .describe('seconds that requests under way have to end after a first SIGTERM or SIGINT'),
});

export type ServeInput = z.input<typeof serveSettings>;
export type ServeConfig = z.output<typeof serveSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkServeSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): ServeConfig {
  const config = checkedSettings(serveSettings, given, whereOf, found);
  if (config.api_key === null && !config.allow_unauthenticated && !isLoopback(config.host))
    throw new ConfigError([
      {
        path: 'host',
        message: `${config.host} can be reached from other machines, and no token is asked for; set api_key (or ${API_KEY_VARIABLE}), or allow_unauthenticated (${whereOf('host')})`,
      },
    ]);
  return config;
}

/** Whether an address is reached from this machine alone. */
export function isLoopback(host: string): boolean {
  return /^(localhost|127(\.\d{1,3}){3}|\[?::1\]?)$/i.test(host);
}
