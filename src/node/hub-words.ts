/** What the hub means where it refuses, and what to do about it. */
import type { HubName } from '../formats/hub-cache.ts';
import type { HubAccess } from './hub-access.ts';
import type { HubRefusal } from './hub-request.ts';

/** Statuses by which the hub says that something is not there, or hides that it is. */
const ABSENT = [401, 403, 404];

/**
 * The message about a refusal. Without a token the hub answers for what is private as for what does not exist.
 * @param notHere what was looked for on this machine first
 */
export function refusalInWords(
  { status, code, message }: HubRefusal,
  { endpoint, token }: HubAccess,
  { type, id, revision }: HubName,
  notHere: string,
): string {
  const page = `${endpoint}/${type === 'dataset' ? 'datasets/' : ''}${id}`;
  const whose = token === null ? 'set HF_TOKEN to a token of that account' : 'the token in use is of no such account';
  if (code === 'GatedRepo')
    return `${id} is gated (${status}): its licence has to be accepted on ${page} by an account, and ${whose}`;
  if (code === 'RevisionNotFound')
    return `${page} has no revision ${revision} (${status}); wanted a branch, a tag or a commit of it`;
  if (code === 'EntryNotFound')
    return `${message}: the hub lists this file of ${id} and does not have it; try again later`;
  if (!ABSENT.includes(status)) return `${notHere}; ${message}`;
  const hidden =
    token === null
      ? 'If it is private or gated, set HF_TOKEN to a token that may read it'
      : 'If it is private or gated, the token in use may not read it';
  return `${notHere}, and no ${type} ${id} on ${endpoint} (${status}). Check the name. ${hidden}`;
}
