/** A request's body, checked by its schema. */
import type { z } from 'zod';
import { isTooDeep, MOST_LEVELS } from '../config/depth.ts';
import { typeProblems, unknownKey } from '../config/describe.ts';
import { show } from '../config/show.ts';
import { isObject } from '../formats/json.ts';
import { ApiError, badRequest } from './errors.ts';

/** Where a value stands, in messages. */
const PLACE = 'request body';

/**
 * Reads the JSON of a body. @param longest entries that a list of it can have with sense, such as the context's tokens
 * @throws ApiError
 */
export async function readRequest<T extends z.ZodRawShape>(
  request: Request,
  schema: z.ZodObject<T>,
  longest: number,
): Promise<z.output<z.ZodObject<T>>> {
  requireJsonType(request);
  requirePlain(request);
  const value = parsed(await bodyText(request));
  if (!isObject(value)) throw badRequest(`the body is ${show(value)}, wanted a JSON object ({...})`);
  for (const [key, entry] of Object.entries(value)) {
    if (!Object.hasOwn(schema.shape, key)) throw unrecognized(key, Object.keys(schema.shape));
    // checking a list of a million wrong entries takes long
    if (isLong(entry, longest)) throw badRequest(`${key} is a list of more than ${longest} entries`, key);
    requireFit(schema.shape[key] as unknown as z.ZodType, entry, key);
    if (hasHalfCharacter(entry))
      throw badRequest(
        `${key} has half of a surrogate pair (\\ud800 to \\udfff alone), which is no text`,
        key,
        'invalid_value',
      );
  }
  for (const [key, type] of Object.entries(schema.shape))
    if (!Object.hasOwn(value, key)) requireFit(type as unknown as z.ZodType, undefined, key);
  return schema.parse(value);
}

/** A page of another origin can send a request of any other type without asking. */
function requireJsonType(request: Request): void {
  const type = request.headers.get('content-type') ?? '';
  if (/^application\/json\s*(;|$)/i.test(type)) return;
  const got = type === '' ? 'is missing' : `is ${show(type)}`;
  throw new ApiError(415, `the Content-Type ${got}, wanted application/json`, { code: 'unsupported_media_type' });
}

/** A body that is compressed would be taken for text that is broken. */
function requirePlain(request: Request): void {
  const encoding = request.headers.get('content-encoding') ?? 'identity';
  if (/^identity$/i.test(encoding)) return;
  const message = `the Content-Encoding is ${show(encoding)}, which this server does not undo; send the body as it is`;
  throw new ApiError(415, message, { code: 'unsupported_content_encoding' });
}

async function bodyText(request: Request): Promise<string> {
  const bytes = await request.arrayBuffer();
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw badRequest('the body is not UTF-8');
  }
}

function parsed(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw badRequest(`the body is not JSON (${(cause as Error).message.slice(0, 200)})`);
  }
  if (isTooDeep(value)) throw badRequest(`the body nests lists and objects more than ${MOST_LEVELS} deep`);
  return value;
}

/** JSON can spell what UTF-8 cannot. */
function hasHalfCharacter(value: unknown): boolean {
  if (typeof value === 'string') return /\p{Surrogate}/u.test(value);
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries(value).some(([key, entry]) => hasHalfCharacter(entry) || hasHalfCharacter(key));
}

const isLong = (value: unknown, most: number): boolean =>
  Array.isArray(value) && (value.length > most || value.some((part) => Array.isArray(part) && part.length > most));

function unrecognized(key: string, known: readonly string[]): ApiError {
  const { message } = unknownKey(key, key, known, PLACE);
  return badRequest(`${show(key)}: ${message}`, key.slice(0, 100), 'unknown_parameter');
}

function requireFit(type: z.ZodType, value: unknown, key: string): void {
  const [problem] = typeProblems(type, value, key, () => PLACE);
  if (problem === undefined) return;
  const isUnfollowed = type.meta()?.unfollowed === true && value !== undefined;
  const message = isUnfollowed
    ? `${key} is ${show(value)}, which this server does not follow; leave it out`
    : `${problem.path}: ${problem.message}`;
  const code = isUnfollowed
    ? 'unsupported_parameter'
    : value === undefined
      ? 'missing_required_parameter'
      : 'invalid_value';
  throw badRequest(message, problem.path, code);
}
