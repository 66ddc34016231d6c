/** What requests may say, by OpenAI's names: one schema checks them and is published as OpenAPI. */
import { z } from 'zod';
import { LEAST_PENALTY, MOST_PENALTY } from '../config/generate.ts';

/** Choices of one prompt, as OpenAI limits them. */
const MOST_CHOICES = 128;
const MOST_STOPS = 16;
const MOST_STOP_CHARACTERS = 500;
/** Alternatives of a token that can be asked for; lm-eval asks for 1, OpenAI allows 20 in chats and 5 elsewhere. */
export const MOST_LOGPROBS = 20;

/** A parameter of OpenAI's that would change the answer and is not followed: taken at the values that change nothing. */
function unfollowed(...neutral: readonly (string | number | boolean)[]) {
  const wanted = neutral.length === 0 ? z.null() : z.literal([...neutral]).nullable();
  return wanted.optional().meta({ description: 'not followed', unfollowed: true });
}

/** The same, where an empty list or object changes nothing. */
const unfollowedList = () =>
  z.array(z.never()).max(0).nullish().meta({ description: 'not followed', unfollowed: true });
const unfollowedObject = () => z.strictObject({}).nullish().meta({ description: 'not followed', unfollowed: true });

/** Says who asks, or what for: no part of the answer depends on it. */
const remark = () => z.string().nullish().describe('taken, and of no effect');

const stopText = z.string().min(1).max(MOST_STOP_CHARACTERS);

const common = {
  model: z.string().min(1).describe('a name that /v1/models lists: the base, or an adapter on it'),
  stream: z.boolean().nullish().describe('send the text as it comes, as server-sent events'),
  stream_options: z
    .strictObject({
      include_usage: z.boolean().nullish().describe('count the tokens in a last chunk'),
      include_obfuscation: unfollowed(false),
    })
    .nullish(),
  temperature: z.number().min(0).max(2).nullish().describe('0 takes the likeliest token every time'),
  top_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .describe('draw among the likeliest tokens that together reach this probability'),
  n: z.int().min(1).max(MOST_CHOICES).nullish().describe('choices for each prompt'),
  stop: z
    .union([stopText, z.array(stopText).max(MOST_STOPS)])
    .nullish()
    .describe('texts that end a choice, and are not part of it'),
  seed: z.int().nullish().describe('the same request with the same seed draws the same tokens; taken modulo 2 ** 32'),
  top_k: z.int().min(0).nullish().describe('draw among this many likeliest tokens; 0 among all (not in OpenAI)'),
  min_p: z
    .number()
    .min(0)
    .max(1)
    .nullish()
    .describe('draw among tokens at least this share as likely as the likeliest (not in OpenAI)'),
  repetition_penalty: z
    .number()
    .min(LEAST_PENALTY)
    .max(MOST_PENALTY)
    .nullish()
    .describe('above 1 makes tokens that were there already less likely (not in OpenAI)'),
  min_tokens: z.int().min(0).nullish().describe('tokens before which no end of text comes (not in OpenAI)'),
  ignore_eos: z.boolean().nullish().describe("go on past the model's end of text (not in OpenAI)"),
  skip_special_tokens: z.boolean().nullish().describe('leave special tokens out of the text (not in OpenAI); true'),
  user: remark(),
  frequency_penalty: unfollowed(0),
  presence_penalty: unfollowed(0),
  logit_bias: unfollowedObject(),
};

export const completionRequest = z
  .strictObject({
    ...common,
    prompt: z
      .union([z.string(), z.array(z.string()), z.array(z.int().min(0)), z.array(z.array(z.int().min(0)))])
      .describe('a text, token ids, or a list of either'),
    max_tokens: z.int().min(0).nullish().describe('most tokens generated; 16. 0 with echo scores the prompt alone'),
    logprobs: z
      .int()
      .min(0)
      .max(MOST_LOGPROBS)
      .nullish()
      .describe('log-probability of each token, with this many of the likeliest beside it'),
    echo: z.boolean().nullish().describe('begin the text with the prompt'),
    add_special_tokens: z
      .boolean()
      .nullish()
      .describe("put the tokenizer's own tokens around a text, such as a beginning of text (not in OpenAI); true"),
    best_of: z.int().min(1).max(MOST_CHOICES).nullish().describe('taken where it equals n'),
    suffix: unfollowed(''),
  })
  .meta({ title: 'CompletionRequest' });

const textPart = z.strictObject({ type: z.literal('text'), text: z.string() });

const message = z.strictObject({
  role: z.enum(['system', 'developer', 'user', 'assistant']).describe('developer is read as system'),
  content: z
    .union([z.string(), z.array(textPart).min(1)])
    .describe('a text, or parts of type text, which are joined by a line break'),
  name: z.string().nullish().describe('who says it; what the chat template makes of it is its own'),
  // an answer may be sent back as it came
  refusal: unfollowed(),
  audio: unfollowed(),
  function_call: unfollowed(),
  tool_calls: unfollowedList(),
  annotations: unfollowedList(),
});

export const chatRequest = z
  .strictObject({
    ...common,
    messages: z.array(message).min(1),
    max_tokens: z.int().min(1).nullish().describe('most tokens generated; what the context leaves room for'),
    max_completion_tokens: z.int().min(1).nullish().describe('the newer name of max_tokens'),
    logprobs: z.boolean().nullish().describe('give the log-probability of each token'),
    top_logprobs: z.int().min(0).max(MOST_LOGPROBS).nullish().describe('alternatives of each token; needs logprobs'),
    chat_template_kwargs: z
      .record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()]))
      .nullish()
      .describe('further variables of the chat template, such as enable_thinking (not in OpenAI)'),
    safety_identifier: remark(),
    prompt_cache_key: remark(),
    prompt_cache_retention: remark(),
    service_tier: remark(),
    metadata: z.record(z.string(), z.string()).nullish().describe('taken, and of no effect'),
    store: unfollowed(false),
    tools: unfollowedList(),
    tool_choice: unfollowed('none', 'auto'),
    parallel_tool_calls: z.boolean().nullish().describe('taken, and of no effect: there are no tools'),
    functions: unfollowedList(),
    function_call: unfollowed('none', 'auto'),
    response_format: z
      .strictObject({ type: z.literal('text') })
      .nullish()
      .describe('text alone'),
    modalities: z.array(z.literal('text')).nullish().describe('text alone'),
    audio: unfollowed(),
    prediction: unfollowed(),
    reasoning_effort: unfollowed(),
    verbosity: unfollowed(),
    web_search_options: unfollowed(),
    moderation: unfollowed(),
  })
  .meta({ title: 'ChatCompletionRequest' });

export type CompletionRequest = z.output<typeof completionRequest>;
export type ChatRequest = z.output<typeof chatRequest>;
export type CommonRequest = Pick<CompletionRequest, keyof typeof common>;
