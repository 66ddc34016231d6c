/** A price table of the reader's own: source, date, and dollars an hour by GPU. */
import { readFile } from 'node:fs/promises';
import { parse } from 'yaml';
import { z } from 'zod';
import { DataError } from '../errors.ts';
import { inWords } from '../node/files.ts';
import { requireRegular } from '../node/regular-file.ts';
import type { PriceTable } from '../results/prices.ts';
import { issueInWords } from './read-runs.ts';

const EXAMPLE = 'source: RunPod, date: 2026-12-01, dollars_per_hour: { H100: 2.49 }';

const shape = z.strictObject({
  source: z.string().min(1),
  date: z.iso.date(),
  dollars_per_hour: z
    .record(z.string().min(1), z.number().positive())
    .refine((prices) => Object.keys(prices).length > 0, {
      message: 'it names no GPU',
    }),
});

/** Reads it from YAML or JSON. @throws DataError */
export async function readPrices(file: string): Promise<PriceTable> {
  await requireRegular(file).catch((cause: NodeJS.ErrnoException) => {
    throw cause instanceof DataError
      ? cause
      : new DataError(file, `cannot be read (${inWords(cause)}); check the path`, { cause });
  });
  const content = parsed(file, await readFile(file, 'utf8'));
  const found = shape.safeParse(content);
  if (!found.success)
    throw new DataError(
      file,
      `is no table of prices: ${issueInWords(found.error.issues[0], content)}. Wanted ${EXAMPLE}`,
    );
  const { source, date, dollars_per_hour: dollarsPerHour } = found.data;
  return { source, date, dollarsPerHour };
}

function parsed(file: string, text: string): unknown {
  try {
    return parse(text);
  } catch (error) {
    throw new DataError(file, `is no YAML: ${(error as Error).message.split('\n')[0]}`);
  }
}
