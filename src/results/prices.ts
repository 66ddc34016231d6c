/** What a run costs where its GPU is rented by the hour, by a table of published prices or a price of one's own. */

export type Price = {
  readonly dollarsPerHour: number;
  /** Whose price it is, and of which day. */
  readonly source: string;
};

/** Hugging Face Jobs, GET /api/jobs/hardware as its documentation has it. */
const JOBS = 'Hugging Face Jobs, 2026-08-22';

/** Dollars an hour of machines with one such GPU, by words of the name that its driver gives; longer names first. */
const PUBLISHED: readonly (readonly [words: RegExp, dollarsPerHour: number])[] = [
  [/\bRTX PRO 6000\b/i, 2.75],
  [/\bL40S\b/i, 1.8],
  [/\bH200\b/i, 5],
  [/\bA100\b/i, 2.5],
  [/\bA10G\b/i, 1],
  [/\bL4\b/i, 0.8],
  [/\bT4\b/i, 0.4],
];

/** The price of a device; null for one that the table does not have. */
export function publishedPrice(device: string): Price | null {
  const found = PUBLISHED.find(([words]) => words.test(device));
  return found === undefined ? null : { dollarsPerHour: found[1], source: JOBS };
}

/** Dollars of so many seconds. */
export const costOf = (seconds: number, { dollarsPerHour }: Price): number => (seconds / 3600) * dollarsPerHour;
