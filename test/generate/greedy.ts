/** Greedy generation token by token against transformers' and PEFT's. */
import { readFileSync } from 'node:fs';
import { expect } from 'vitest';
import { GOLDEN } from '../model/open.ts';
import { openGeneration } from './open.ts';

type Run = { readonly token_ids: readonly number[]; readonly ties: readonly number[] };
type Golden = {
  readonly repetition_penalty: number;
  readonly models: Readonly<Record<string, Record<string, unknown>>>;
};
const golden = JSON.parse(readFileSync(`${GOLDEN}generate/greedy.json`, 'utf8')) as Golden;

export const cases = Object.keys(golden.models).flatMap((name) =>
  ['dense', 'bnb-4bit'].map((form) => [name, form] as const),
);

/**
 * Holds the base's tokens, an adapter's, and the base's under a repetition penalty, which are three rows of one batch.
 * @param most tokens that are compared of those in the golden file
 */
export async function expectGreedy(name: string, form: string, most = Number.POSITIVE_INFINITY): Promise<void> {
  const { prompt, ...runs } = golden.models[name] as unknown as { prompt: number[] } & Record<string, Run>;
  const directory = `${GOLDEN}architectures/${name}`;
  const count = Math.min(most, (runs[form] as Run).token_ids.length);
  const rows = [
    { key: form, adapter: 0, penalty: 1 },
    { key: `${form}+adapter`, adapter: 1, penalty: 1 },
    { key: `${form}+penalty`, adapter: 0, penalty: golden.repetition_penalty },
  ].map((row) => ({ ...row, ...(runs[row.key] as Run), seen: new Set(prompt), tied: false }));
  const engine = await openGeneration(`${directory}/${form}`, {
    adapters: [`${directory}/adapter-init`],
    requests: rows.map(() => ({ prompt: prompt.length, maxNewTokens: count })),
    batchSize: rows.length,
    model: { max_position_embeddings: 256 },
  });
  const pages = rows.map((_, i) => Array.from({ length: engine.settings.cache.pagesPerRow }, (_, j) => j * 3 + i));
  let logits: Float32Array[] = [];
  for (const [i, { adapter }] of rows.entries())
    logits.push((await engine.prefill(Uint32Array.from(prompt), { pages: pages[i] as number[], adapter })).slice());
  for (let step = 0; step < count; step++) {
    const next = rows.map((row, i) => {
      const { key, adapter, penalty, token_ids, ties, seen } = row;
      const scores = (logits[i] as Float32Array).map((x, id) =>
        seen.has(id) ? (x < 0 ? x * penalty : x / penalty) : x,
      );
      const token = scores.indexOf(Math.max(...scores));
      if (!row.tied && token !== token_ids[step] && ties.includes(step)) {
        console.log(`${key}: token ${step} of ${count} is a tie within rounding; compared up to there`);
        row.tied = true;
      }
      if (!row.tied) expect([step, token], key).toEqual([step, token_ids[step]]);
      seen.add(token);
      return { pages: pages[i] as number[], adapter, token, position: prompt.length + step };
    });
    if (step + 1 < count) logits = await engine.decode(next);
  }
  engine.destroy();
}
