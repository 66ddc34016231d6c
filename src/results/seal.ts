/** The hash of a record, by which an edit is noticed. */
import { canonicalJson } from './identity.ts';

const FIELD = 'record_sha256';

/**
 * Adds the hash of a record to it, or replaces the one it has.
 * @param sha256 of a text in UTF-8, as 64 hex digits: each platform has its own
 */
export function sealed<R extends object>(record: R, sha256: (text: string) => string): R & { record_sha256: string } {
  return { ...record, [FIELD]: sealOf(record, sha256) };
}

/** Whether a record is as it was written; null for one without a hash. `json` is the content of its file. */
export function isIntact(json: unknown, sha256: (text: string) => string): boolean | null {
  const seal = (json as Record<string, unknown> | null)?.[FIELD];
  if (typeof seal !== 'string') return null;
  return seal === sealOf(json as object, sha256);
}

function sealOf(record: object, sha256: (text: string) => string): string {
  const { [FIELD]: _, ...rest } = record as Record<string, unknown>;
  return sha256(canonicalJson(rest));
}
