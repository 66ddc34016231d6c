/** Schemas of the answers, for OpenAPI and for tests that hold real answers against them. */
import { z } from 'zod';

const usage = z.strictObject({
  prompt_tokens: z.int(),
  completion_tokens: z.int(),
  total_tokens: z.int(),
});
const finish = z.enum(['stop', 'length']);

const completionChoice = z.strictObject({
  index: z.int(),
  text: z.string(),
  logprobs: z
    .strictObject({
      tokens: z.array(z.string()),
      token_logprobs: z.array(z.number().nullable()),
      top_logprobs: z.array(z.record(z.string(), z.number()).nullable()),
      text_offset: z.array(z.int()),
    })
    .nullable(),
  finish_reason: finish.nullable(),
});

const completionHead = { id: z.string(), object: z.literal('text_completion'), created: z.int(), model: z.string() };

export const completionResponse = z.strictObject({ ...completionHead, choices: z.array(completionChoice), usage });
export const completionChunk = z.strictObject({
  ...completionHead,
  choices: z.array(completionChoice),
  usage: usage.nullish(),
});

const token = { token: z.string(), logprob: z.number(), bytes: z.array(z.int()).nullable() };
const tokenLogprobs = z
  .strictObject({
    content: z.array(z.strictObject({ ...token, top_logprobs: z.array(z.strictObject(token)) })),
    refusal: z.null(),
  })
  .nullable();

const chatHead = { id: z.string(), created: z.int(), model: z.string() };

export const chatResponse = z.strictObject({
  ...chatHead,
  object: z.literal('chat.completion'),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      message: z.strictObject({ role: z.literal('assistant'), content: z.string(), refusal: z.null() }),
      logprobs: tokenLogprobs,
      finish_reason: finish,
    }),
  ),
  usage,
});

export const chatChunk = z.strictObject({
  ...chatHead,
  object: z.literal('chat.completion.chunk'),
  choices: z.array(
    z.strictObject({
      index: z.int(),
      delta: z.strictObject({ role: z.literal('assistant').optional(), content: z.string().optional() }),
      logprobs: tokenLogprobs,
      finish_reason: finish.nullable(),
    }),
  ),
  usage: usage.nullish(),
});

export const modelResponse = z.strictObject({
  id: z.string(),
  object: z.literal('model'),
  created: z.int(),
  owned_by: z.string(),
  parent: z.string().nullable(),
  max_model_len: z.int(),
  has_chat_template: z.boolean(),
});
export const modelsResponse = z.strictObject({ object: z.literal('list'), data: z.array(modelResponse) });

export const healthResponse = z.strictObject({ status: z.enum(['ready', 'draining', 'failed']) });

export const errorResponse = z.strictObject({
  error: z.strictObject({
    message: z.string(),
    type: z.string(),
    param: z.string().nullable(),
    code: z.string().nullable(),
  }),
});
