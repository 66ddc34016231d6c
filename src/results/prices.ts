/** What a run costs where its GPU is rented by the hour, by a table of published prices or one of the reader's own. */

export type Price = {
  readonly dollarsPerHour: number;
  /** Whose price it is, and of which day. */
  readonly source: string;
};

/** Prices of one source and day. */
export type PriceTable = {
  readonly source: string;
  /** YYYY-MM-DD. */
  readonly date: string;
  /** Dollars an hour of a machine with one such GPU, by whole words of the name that its driver gives. */
  readonly dollarsPerHour: Readonly<Record<string, number>>;
};

/** Hugging Face Jobs, GET /api/jobs/hardware as its documentation has it. */
export const PUBLISHED_PRICES: PriceTable = {
  source: 'Hugging Face Jobs',
  date: '2026-08-22',
  dollarsPerHour: { 'RTX PRO 6000': 2.75, L40S: 1.8, H200: 5, A100: 2.5, A10G: 1, L4: 0.8, T4: 0.4 },
};

/** The price of a device by its longest name in a table; null for one that the table does not have. */
export function priceOf(device: string, { source, date, dollarsPerHour }: PriceTable): Price | null {
  const words = wordsOf(device);
  const [found] = Object.entries(dollarsPerHour)
    .filter(([name]) => words.includes(wordsOf(name)))
    .sort(([a], [b]) => b.length - a.length);
  return found === undefined ? null : { dollarsPerHour: found[1], source: `${source}, ${date}` };
}

/** In lower case, each word between blanks. */
const wordsOf = (name: string): string =>
  ` ${name
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean)
    .join(' ')} `;

/** Dollars of so many seconds. */
export const costOf = (seconds: number, { dollarsPerHour }: Price): number => (seconds / 3600) * dollarsPerHour;
