/** generate(): text from a model and its adapters, on this machine. */
import { checkGenerateSettings, type GenerateConfig, type GenerateInput } from '../config/generate.ts';
import type { ConfigProblem } from '../errors.ts';
import type { GenerationEngine } from '../generate/engine.ts';
import type { FinishReason, GenerationEvent, TokenLogprob } from '../generate/request.ts';
import { Scheduler } from '../generate/scheduler.ts';
import type { CategoryBytes } from '../gpu/category.ts';
import { flagMessages } from '../kernels/flags.ts';
import type { CallOptions, WorkEvent } from './call.ts';
import type { DeviceChoice } from './device-choice.ts';
import { nodeReader } from './files.ts';
import { foundFolders, openEngine } from './generation-engine.ts';
import { type NumberedRequest, readGenerationInput } from './generation-input.ts';
import type { NamedFolder, Prompt, PromptInput } from './prompts.ts';
import { deviceNotes } from './run-notes.ts';
import { openNodeRuntime } from './runtime.ts';

/** What became of a prompt, as `nibble generate --json` prints it. */
export type Generation = {
  /** Number of the prompt, from 0. */
  readonly index: number;
  readonly prompt: PromptInput;
  /** Name of the adapter; null for the base. */
  readonly adapter: string | null;
  /** Null where the model has no tokenizer. */
  readonly text: string | null;
  /** Tokens generated, an end of text included. */
  readonly token_ids: readonly number[];
  readonly finish_reason: FinishReason;
  readonly prompt_tokens: number;
  readonly logprobs?: readonly TokenLogprob[];
};

export type GenerateEvent =
  | WorkEvent<'download' | 'load' | 'compile'>
  | { readonly type: 'text'; readonly index: number; readonly text: string }
  | { readonly type: 'generation'; readonly generation: Generation };

export type GenerateSummary = {
  readonly generations: readonly Generation[];
  readonly new_tokens: number;
  /** From the first prompt to the last token, model loaded. */
  readonly seconds: number;
  readonly tokens_per_second: number;
  readonly peak_bytes: number;
  readonly by_category: CategoryBytes;
};

export type GenerateOptions = GenerateInput &
  CallOptions<GenerateEvent> & {
    /** Directory of a Hugging Face model, or its name on the hub. */
    readonly model_name_or_path: string;
    /** Directories of PEFT adapters, or their names on the hub, by name. */
    readonly adapters?: Readonly<Record<string, string>> | undefined;
    /**
     * Texts, token ids, or messages of a chat; with the name of an adapter, or null for the base. The first adapter is taken where none
     * is named.
     */
    readonly prompts: readonly (PromptInput | Omit<Prompt, 'where'>)[];
    readonly device?: DeviceChoice | undefined;
  };

/**
 * Generates text after each prompt.
 * @throws ConfigError with all that is wrong in the options; DataError for files that cannot be read; DeviceError
 */
export async function generate(options: GenerateOptions): Promise<GenerateSummary> {
  const { model_name_or_path: model, adapters = {}, prompts, onEvent, signal, device, ...given } = options;
  const isEmpty = typeof model !== 'string' || model === '';
  const missing: ConfigProblem[] = isEmpty
    ? [{ path: 'model_name_or_path', message: 'is missing; wanted the path of a directory (options)' }]
    : [];
  const config = checkGenerateSettings(given, () => 'options', missing);
  const isBare = (prompt: GenerateOptions['prompts'][number]): prompt is PromptInput =>
    typeof prompt === 'string' || Array.isArray(prompt);
  return generateFrom(
    {
      model,
      modelName: 'model_name_or_path',
      adapters: Object.entries(adapters).map(([name, directory]) => ({ name, directory })),
      prompts: prompts.map((prompt, i) => ({
        ...(isBare(prompt) ? { prompt } : prompt),
        where: `prompts[${i}]`,
      })),
      config,
      device,
    },
    { onEvent, signal },
  );
}

const REMEDIES = 'load_in_4bit, a smaller batch_size, fewer max_new_tokens or shorter prompts';

export type GenerateJob = {
  readonly model: string;
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly prompts: readonly Prompt[];
  readonly config: GenerateConfig;
  readonly device?: DeviceChoice | undefined;
};

/** Does the work of generate() and `nibble generate`. */
export async function generateFrom(
  given: GenerateJob,
  { onEvent = () => undefined, signal = new AbortController().signal }: CallOptions<GenerateEvent>,
): Promise<GenerateSummary> {
  const input = await readGenerationInput(await foundFolders(given, { onEvent, signal }), nodeReader);
  signal.throwIfAborted();
  const runtime = await openNodeRuntime(given.device);
  try {
    for (const text of [...deviceNotes(runtime.device), ...input.notes]) onEvent({ type: 'note', text });
    const engine = await openEngine(runtime, input, { config: given.config, remedies: REMEDIES, onEvent, signal });
    try {
      return await runAll(engine, input.requests, onEvent, signal);
    } finally {
      engine.destroy();
    }
  } finally {
    await runtime.close();
  }
}

async function runAll(
  engine: GenerationEngine,
  requests: readonly NumberedRequest[],
  onEvent: (event: GenerateEvent) => void,
  signal: AbortSignal,
): Promise<GenerateSummary> {
  const scheduler = new Scheduler<NumberedRequest>(engine);
  for (const request of requests) scheduler.add(request);
  const generations: Generation[] = [];
  const started = performance.now();
  for await (const event of scheduler.run()) {
    signal.throwIfAborted();
    if (event.text !== '') onEvent({ type: 'text', index: event.request.number, text: event.text });
    if (event.type !== 'end') continue;
    const generation = generationOf(event);
    generations[generation.index] = generation;
    onEvent({ type: 'generation', generation });
  }
  const seconds = (performance.now() - started) / 1000;
  for (const text of flagMessages(engine.takeFlags()))
    onEvent({ type: 'note', text: `${text}: set compute_dtype float32` });
  const new_tokens = generations.reduce((sum, { token_ids }) => sum + token_ids.length, 0);
  const { peakBytes, byCategory } = engine.machine.ledger.peak;
  const speed = { new_tokens, seconds, tokens_per_second: new_tokens / seconds };
  return { generations, ...speed, peak_bytes: peakBytes, by_category: byCategory };
}

function generationOf(event: Extract<GenerationEvent<NumberedRequest>, { type: 'end' }>): Generation {
  const { number, prompt, adapterName, text, promptIds } = event.request;
  return {
    index: number,
    prompt,
    adapter: adapterName,
    text: text?.text ?? null,
    token_ids: event.tokenIds,
    finish_reason: event.finishReason,
    prompt_tokens: promptIds.length,
    ...(event.logprobs === null ? {} : { logprobs: event.logprobs }),
  };
}
