/** What lm-eval sent to a server, sent again: it takes from the answers what it took then, which was what `nibble eval` has. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { readModelConfig } from '../../src/formats/hf-config.ts';
import type { GenerationEngine } from '../../src/generate/engine.ts';
import { readGenerationConfig } from '../../src/generate/generation-config.ts';
import { nodeReader } from '../../src/node/files.ts';
import { completionResponse } from '../../src/serve/responses.ts';
import { isClose } from '../eval/against-lm-eval.ts';
import { GOLDEN, TINY } from '../eval/open.ts';
import { openGeneration } from '../generate/open.ts';
import { type Started, start, tokenizer } from './app.ts';

type Exchange = {
  readonly request: { readonly prompt: readonly (readonly number[])[]; readonly max_tokens: number };
  /** Tokens of each prompt that are not scored; absent where texts are generated. */
  readonly contexts?: readonly number[];
  readonly taken: readonly (string | readonly [logLikelihood: number, isGreedy: boolean])[];
};
const ENTRIES = ['base', 'adapter'] as const;
const golden = JSON.parse(readFileSync(new URL('../golden/served/exchanges.json', import.meta.url), 'utf8')) as Record<
  (typeof ENTRIES)[number],
  readonly Exchange[]
>;
/** Two of multiple choice or a last word, two windows of texts, two of generated texts. */
const EXCHANGES = 6;
const CONTEXT = 192;

let engine: GenerationEngine;
let server: Started;
beforeAll(async () => {
  const all = ENTRIES.flatMap((entry) => golden[entry]);
  engine = await openGeneration(TINY, {
    adapters: [`${GOLDEN}adapter`],
    requests: all.flatMap(({ request }) =>
      request.prompt.map(({ length }) => ({ prompt: length, maxNewTokens: request.max_tokens })),
    ),
    batchSize: 4,
    scoresPrompts: true,
    model: { max_position_embeddings: CONTEXT },
  });
  const reader = nodeReader(TINY);
  const model = await readModelConfig(reader);
  server = start({
    engine,
    // seconds: a busy machine is no failure
    requestTimeout: 3600,
    served: {
      names: ['base', 'judge'].map((name, adapter) => ({ name, adapter, chat: null })),
      tokenizer,
      defaults: await readGenerationConfig(reader),
      eosIds: model.eos_token_id,
      vocabulary: model.vocab_size,
      context: CONTEXT,
      created: 1,
    },
  });
});
afterAll(() => engine?.destroy());

describe.each(ENTRIES)('with the %s', (entry) => {
  test('lm-eval takes the same numbers and texts', async () => {
    expect(golden[entry]).toHaveLength(EXCHANGES);
    for (const { request, contexts, taken } of golden[entry]) {
      const response = await server.post('/v1/completions', request);
      const body: unknown = await response.json();
      expect([response.status, body]).toEqual([200, expect.anything()]);
      const { choices } = completionResponse.parse(body);
      expect(choices).toHaveLength(taken.length);
      for (const [i, want] of taken.entries()) {
        const { text, logprobs } = choices.find(({ index }) => index === i)!;
        if (typeof want === 'string') expect(text).toBe(want);
        else {
          const context = contexts![i]!;
          // the last entry is the token that lm-eval asks for and throws away
          const own = (logprobs!.token_logprobs as number[]).slice(context, -1);
          const best = logprobs!.top_logprobs.slice(context, -1).map((top) => Math.max(...Object.values(top!)));
          const sum = own.reduce((total, value) => total + value, 0);
          expect(isClose(sum, want[0]), `${sum} for ${want[0]}`).toBe(true);
          expect(own.every((value, t) => value === best[t])).toBe(want[1]);
        }
      }
    }
  });
});
