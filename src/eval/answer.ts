/** Asks a model everything of a work: rows are scored, texts are written on. */
import type { TextTokenizer } from '../formats/tokenizer.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import type { GenerationRequest } from '../generate/request.ts';
import { Scheduler } from '../generate/scheduler.ts';
import type { Scorer } from '../generate/scorer.ts';
import { TextStream } from '../generate/text-stream.ts';
import type { Answers } from './outcome.ts';
import { type RowBatch, scoreRows } from './score.ts';
import type { AskedText, Work } from './work.ts';

export type AskOptions = {
  readonly tokenizer: TextTokenizer;
  readonly batches: readonly RowBatch[];
  /** Number of the adapter among the engine's; 0 for the base. */
  readonly adapter: number;
  readonly eosIds: readonly number[];
  readonly minNewTokens: number;
  readonly seed: number;
};

/** Yields how many rows or texts are done more. @throws DeviceError, DataError for a model that gives no numbers */
export async function* ask(
  engine: GenerationEngine,
  work: Pick<Work, 'rows' | 'texts'>,
  options: AskOptions,
): AsyncGenerator<number, Answers & { readonly flags: number }> {
  const none = { scores: [], flags: 0 };
  const scored =
    work.rows.length === 0
      ? none
      : yield* scoreRows(engine.scorer as Scorer, work.rows, options.batches, options.adapter);
  const texts = work.texts.length === 0 ? [] : yield* write(engine, work.texts, options);
  return { scores: scored.scores, texts, flags: scored.flags | engine.takeFlags() };
}

type NumberedRequest = GenerationRequest & { readonly text: TextStream };

async function* write(
  engine: GenerationEngine,
  texts: readonly AskedText[],
  options: AskOptions,
): AsyncGenerator<number, string[]> {
  const { tokenizer, adapter, eosIds, minNewTokens, seed } = options;
  const scheduler = new Scheduler<NumberedRequest>(engine);
  texts.forEach(({ promptIds, maxNewTokens, stop, sampling }, number) => {
    const text = new TextStream(tokenizer, { stop, skipSpecialTokens: true });
    const lengths = { maxNewTokens, minNewTokens };
    scheduler.add({ promptIds, adapter, ...lengths, eosIds, sampling, seed, number, logprobs: null, text });
  });
  const found: string[] = [];
  for await (const event of scheduler.run()) {
    if (event.type !== 'end') continue;
    found[event.request.number] = event.request.text.text;
    yield 1;
  }
  return found;
}
