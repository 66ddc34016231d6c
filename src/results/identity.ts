/** The identity of a run: equal inputs give an equal run_id, on any machine and on any day. */

/** What makes two runs the same run: same resolved config, weights, data, seed and arm. */
export type RunIdentity = {
  readonly config: unknown;
  readonly modelSha256: string;
  readonly dataSha256: Readonly<Record<string, string | null>>;
  readonly seed: number;
  readonly arm: string;
  /** Absent outside a case, as it was before there were any. */
  readonly case?: string;
};

/**
 * First 16 hex digits of the sha256 over the identity's canonical JSON (keys sorted at every level).
 * @param sha256 of a text in UTF-8, as 64 hex digits: each platform has its own
 */
export function runIdOf(identity: RunIdentity, sha256: (text: string) => string): string {
  return sha256(canonicalJson(identity)).slice(0, 16);
}

/** JSON with sorted keys, so that equal values give equal text whatever order they were built in. */
export function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, entry: unknown) => {
    if (entry === null || typeof entry !== 'object' || Array.isArray(entry)) return entry;
    return Object.fromEntries(Object.entries(entry).sort(([a], [b]) => (a < b ? -1 : 1)));
  });
}
