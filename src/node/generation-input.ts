/** Everything that generation needs before it takes GPU memory: files opened, prompts in tokens, requests made. */
import type { Adapter } from '../adapters/files.ts';
import type { GenerateConfig } from '../config/generate.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';
import { floatType } from '../formats/dtype.ts';
import type { FileReader } from '../formats/reader.ts';
import { type GenerationDefaults, readGenerationConfig } from '../generate/generation-config.ts';
import type { GenerationPlan } from '../generate/plan.ts';
import type { GenerationRequest } from '../generate/request.ts';
import { endsOf, mostCharacters, newTokensOf, samplingOf } from '../generate/resolve.ts';
import { TextStream } from '../generate/text-stream.ts';
import { baseStorage } from '../model/base-storage.ts';
import { type OpenedModel, openModel } from '../model/open.ts';
import { counted } from '../report/format.ts';
import { nameProblems } from './adapter-names.ts';
import { chatPrompts } from './chat-prompts.ts';
import { openAdapters } from './open-adapters.ts';
import { atPrompt, isTokenIds, type NamedFolder, type Prompt, type PromptInput } from './prompts.ts';

export type GenerationJob = {
  readonly model: string;
  /** What messages call the model's folder. */
  readonly modelName: string;
  readonly adapters: readonly NamedFolder[];
  readonly prompts: readonly Prompt[];
  readonly config: GenerateConfig;
};

/** A request with what its result tells. */
export type NumberedRequest = GenerationRequest & {
  readonly prompt: PromptInput;
  readonly adapterName: string | null;
};

export type GenerationInput = Omit<OpenedModel, 'adapter'> & {
  readonly adapters: readonly Adapter[];
  readonly plan: GenerationPlan;
  readonly requests: readonly NumberedRequest[];
};

/** Reads and checks all but the values of the weights. @throws ConfigError, DataError */
export async function readGenerationInput(
  job: GenerationJob,
  readerOf: (directory: string) => FileReader,
): Promise<GenerationInput> {
  const { config } = job;
  requireNames(job);
  const opened = await openModel({ model_name_or_path: job.model, adapter_name_or_path: null }, readerOf);
  const { model, source } = opened;
  const notes = [...opened.notes, ...(opened.tokenizer?.notes ?? [])];
  const defaults = await readGenerationConfig(readerOf(job.model), notes);
  const adapters = await openAdapters(job.adapters, { model, source, name: job.model }, readerOf, notes);
  const chats = await chatPrompts(job, opened.tokenizer, readerOf);
  const requests = requestsOf(job, opened, defaults, chats, notes);
  const plan: GenerationPlan = {
    model,
    storage: await baseStorage(config, model, source),
    adapters: adapters.map(({ layout }) => layout),
    computeDtype: floatType(config.compute_dtype).gpu,
    batchSize: config.batch_size,
    requests: requests.map(({ promptIds, maxNewTokens }) => ({ prompt: promptIds.length, maxNewTokens })),
  };
  const { tokenizer } = opened;
  return { model, source, tokenizer, notes, adapters, plan, requests };
}

/** Requires names that tell adapters apart, and that every prompt names one there is. @throws ConfigError */
function requireNames({ adapters, prompts }: GenerationJob): void {
  const names = adapters.map(({ name }) => name);
  const problems = nameProblems(adapters);
  for (const { adapter, where } of prompts)
    if (adapter !== undefined && adapter !== null && !names.includes(adapter)) {
      const there = names.length === 0 ? 'none was given: --adapter DIR=NAME' : `there are ${names.join(', ')}`;
      problems.push({ path: where, message: `there is no adapter ${adapter}; ${there}` });
    }
  if (problems.length > 0) throw new ConfigError(problems);
}

function requestsOf(
  { prompts, adapters, config }: GenerationJob,
  opened: OpenedModel,
  defaults: GenerationDefaults,
  chats: ReadonlyMap<number, readonly number[]>,
  notes: string[],
): NumberedRequest[] {
  const { model, tokenizer } = opened;
  const sampling = samplingOf(config, defaults);
  const eosIds = endsOf(config, defaults, model);
  const textOptions = { stop: config.stop, skipSpecialTokens: config.skip_special_tokens };
  const problems: ConfigProblem[] = [];
  const names = adapters.map(({ name }) => name);
  const requests = prompts.map((prompt, number): NumberedRequest => {
    const promptIds = idsOf(prompt, chats.get(number), opened, config, problems);
    const maxNewTokens = newTokensOf(config, defaults, model, promptIds.length);
    const adapterName = prompt.adapter === undefined ? (names[0] ?? null) : prompt.adapter;
    return {
      prompt: prompt.prompt,
      promptIds,
      adapter: adapterName === null ? 0 : names.indexOf(adapterName) + 1,
      adapterName,
      maxNewTokens,
      minNewTokens: config.min_new_tokens ?? defaults.min_new_tokens ?? 0,
      eosIds,
      sampling,
      seed: config.seed,
      number,
      logprobs: config.logprobs,
      text: tokenizer === null ? null : new TextStream(tokenizer, textOptions),
    };
  });
  if (config.stop.length > 0 && tokenizer === null)
    problems.push({ path: 'stop', message: `stop texts need a tokenizer, and ${opened.source.root} has none` });
  if (problems.length > 0) throw new ConfigError(problems);
  const { max_new_tokens: asked } = config;
  const cut = asked === null ? [] : requests.filter(({ maxNewTokens }) => maxNewTokens < asked);
  if (cut.length > 0)
    notes.push(
      `${counted(cut.length, 'prompt')} of ${requests.length} may get fewer than ${asked} new tokens: the model's context is ${model.max_position_embeddings} tokens`,
    );
  return requests;
}

function idsOf(
  { prompt, where }: Prompt,
  chatIds: readonly number[] | undefined,
  { model, tokenizer, source }: OpenedModel,
  { add_special_tokens: addSpecialTokens }: GenerateConfig,
  problems: ConfigProblem[],
): readonly number[] {
  const problem = (message: string): void => {
    problems.push({ path: where, message });
  };
  if (tokenizer === null && !isTokenIds(prompt)) {
    problem(`a text needs a tokenizer, and ${source.root} has no tokenizer.json; give "input_ids" in a JSONL file`);
    return [];
  }
  const { max_position_embeddings: context, vocab_size: vocabulary } = model;
  if (chatIds === undefined && typeof prompt === 'string' && prompt.length > mostCharacters(context)) {
    problem(
      `has ${prompt.length} characters, and no text of so many fits the model's context of ${context} tokens. Shorten it.`,
    );
    return [];
  }
  const plainIds = (): readonly number[] =>
    typeof prompt === 'string'
      ? atPrompt(where, () => tokenizer?.encode(prompt, { addSpecialTokens }) ?? [])
      : (prompt as readonly number[]);
  const ids = chatIds ?? plainIds();
  const stray = ids.find((id) => id >= vocabulary);
  if (ids.length === 0) problem('is empty, and the tokenizer begins a text with no token of its own; give a prompt');
  else if (stray !== undefined) problem(`has token ${stray}; the model has ${vocabulary}, counted from 0`);
  else if (ids.length >= context)
    problem(
      `has ${ids.length} tokens; the model's context is ${context}, and the text that follows has to fit as well. Shorten it.`,
    );
  return ids;
}
