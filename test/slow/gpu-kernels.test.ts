/** Decoding with the kernels of GPUs: what the cache gives is what the whole text gives, alone and in a batch. */
import { expect, test } from 'vitest';
import { openGeneration } from '../generate/open.ts';
import { GOLDEN } from '../model/open.ts';

const QWEN = `${GOLDEN}architectures/qwen2`;
/** Eight unequal lengths: one token, at and beside a page's end, and several pages. */
const LENGTHS = [1, 15, 33, 16, 2, 40, 17, 7];
const STEPS = 2;

test.each(['dense', 'bnb-4bit'])(
  '%s base: cached equals uncached, and rows of a batch equal each alone',
  async (form) => {
    const engine = await openGeneration(`${QWEN}/${form}`, {
      adapters: [`${QWEN}/adapter-init`],
      requests: LENGTHS.flatMap((prompt) => [
        { prompt, maxNewTokens: STEPS + 1 },
        { prompt: prompt + STEPS, maxNewTokens: 1 },
      ]),
      batchSize: LENGTHS.length,
      tier: 'simt',
      model: { max_position_embeddings: 128 },
    });
    const own = engine.settings.cache.pagesPerRow;
    const rows = LENGTHS.map((length, b) => ({
      ids: Array.from({ length: length + STEPS }, (_, i) => 3 + ((i * 11 + b * 17) % 120)),
      length,
      adapter: b % 2,
    }));
    const kernels = new Set(
      engine.machine.plans.flatMap(({ commands }) =>
        commands.map((command) => (command.kind === 'dispatch' ? command.kernel.spec.name : '')),
      ),
    );
    expect(kernels).toContain('attention_decode');
    expect(kernels).toContain(form === 'dense' ? 'matvec_16bit' : 'matvec_4bit_rows');
    const worst = { cached: 0, together: 0 };
    const near = (kind: keyof typeof worst, got: Float32Array, want: Float32Array, what: string): void => {
      want.forEach((logit, id) => {
        worst[kind] = Math.max(worst[kind], Math.abs(logit - (got[id] as number)));
        if (!(Math.abs(logit - (got[id] as number)) < 1e-4))
          throw new Error(`${what}, token ${id}: ${got[id]} for ${logit}`);
      });
    };
    // the largest requests that may meet have room: each sequence in turn takes the same pages
    const pages = Array.from({ length: own }, (_, i) => i);
    const alone: Float32Array[] = [];
    for (const { ids, length, adapter } of rows) {
      await engine.prefill(Uint32Array.from(ids.slice(0, length)), { pages, adapter });
      let cached: Float32Array = new Float32Array();
      for (let i = length; i < ids.length; i++)
        cached = (await engine.decode([{ pages, adapter, token: ids[i] as number, position: i }]))[0] as Float32Array;
      alone.push(cached.slice());
      near(
        'cached',
        cached,
        await engine.prefill(Uint32Array.from(ids), { pages, adapter }),
        `${length} tokens, cached`,
      );
    }
    let first = 0;
    const placed = rows.map((row) => {
      const count = Math.ceil(row.ids.length / 16);
      const at = first;
      first += count;
      return { ...row, pages: Array.from({ length: count }, (_, i) => at + i) };
    });
    expect(first).toBeLessThanOrEqual(engine.settings.cache.pages);
    for (const { ids, length, adapter, pages: mine } of placed)
      await engine.prefill(Uint32Array.from(ids.slice(0, length)), { pages: mine, adapter });
    let together: Float32Array[] = [];
    for (let step = 0; step < STEPS; step++)
      together = await engine.decode(
        placed.map(({ ids, length, adapter, pages: mine }) => ({
          pages: mine,
          adapter,
          token: ids[length + step] as number,
          position: length + step,
        })),
      );
    together.forEach((logits, b) => {
      near('together', logits, alone[b] as Float32Array, `row ${b} of a batch`);
    });
    console.log(
      `${form}: cached and uncached logits differ by ${worst.cached}, a batch and singles by ${worst.together}`,
    );
    engine.destroy();
  },
  1_800_000,
);
