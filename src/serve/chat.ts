/** POST /v1/chat/completions: what an assistant answers, by the chat template of the adapter or the base. */
import { chatPromptIds } from '../data/chat/chat-row.ts';
import { DataError } from '../errors.ts';
import type { JsonObject } from '../formats/json.ts';
import type { TokenLogprob } from '../generate/request.ts';
import { answer, type Form, finishOf, newId, nowSeconds, type Piece, type ServerParts } from './answer.ts';
import { badRequest, publicMessage } from './errors.ts';
import type { SequenceEvent } from './job.ts';
import type { ChatRequest } from './parameters.ts';
import { requireShort, sequencesOf } from './sequences.ts';
import { type ServedName, servedAs } from './served-model.ts';
import type { NamedToken, TokenTexts } from './token-texts.ts';

/** @throws ApiError; DataError where the template raises, or there is none */
export async function chat(parts: ServerParts, request: ChatRequest, signal: AbortSignal): Promise<Response> {
  const name = servedAs(parts.served, request.model);
  const logprobs = logprobsOf(request);
  parts.batcher.requireRoom(request.n ?? 1);
  const promptIds = promptOf(parts, request, name);
  const wanted = {
    adapter: name.adapter,
    maxNewTokens: newTokensOf(request),
    logprobs,
    promptLogprobs: null,
    continues: false,
    param: 'messages' as const,
  };
  const sequences = sequencesOf(parts.served, request, [promptIds], wanted);
  return answer(parts, request, sequences, formOf(name.name, sequences.length, parts.texts), signal);
}

function logprobsOf({ logprobs, top_logprobs }: ChatRequest): number | null {
  if (logprobs === true) return top_logprobs ?? 0;
  if ((top_logprobs ?? null) !== null)
    throw badRequest('top_logprobs is given, and logprobs is not true', 'top_logprobs');
  return null;
}

function newTokensOf({ max_tokens, max_completion_tokens }: ChatRequest): number | null {
  if ((max_tokens ?? null) !== null && (max_completion_tokens ?? null) !== null)
    throw badRequest('max_tokens and max_completion_tokens are one setting; give one of them', 'max_tokens');
  return max_completion_tokens ?? max_tokens ?? null;
}

function promptOf(
  { served }: ServerParts,
  { messages, chat_template_kwargs }: ChatRequest,
  name: ServedName,
): readonly number[] {
  const record: JsonObject = {
    messages: messages.map(({ role, content, name }) => ({
      role: role === 'developer' ? 'system' : role,
      ...(name ? { name } : {}),
      content: typeof content === 'string' ? content : content.map(({ text }) => text).join('\n'),
    })),
    ...(chat_template_kwargs ? { chat_template_kwargs } : {}),
  };
  if (name.chat === null)
    throw badRequest(
      `${name.name} has no chat template; start the server with --chat_template_path, or use /v1/completions`,
      'model',
      'no_chat_template',
    );
  const said = record.messages as readonly { readonly content: string }[];
  requireShort(
    said.reduce((sum, { content }) => sum + content.length, 0),
    served.context,
    'messages',
  );
  try {
    return chatPromptIds(record, 'messages', { tokenizer: served.tokenizer, chat: name.chat });
  } catch (error) {
    throw error instanceof DataError ? badRequest(publicMessage(error), 'messages') : error;
  }
}

function formOf(model: string, choices: number, texts: TokenTexts): Form {
  const head = { id: newId('chatcmpl'), created: nowSeconds(), model };
  const chunk = { ...head, object: 'chat.completion.chunk' };
  const choiceOf = (index: number, delta: object, logprobs: unknown, finish: string | null) => ({
    index,
    delta,
    logprobs,
    finish_reason: finish,
  });
  return {
    piecesOf: (event) => piecesOf(event, texts),
    opening: Array.from({ length: choices }, (_, index) => ({
      ...chunk,
      choices: [choiceOf(index, { role: 'assistant', content: '' }, null, null)],
    })),
    chunkOf: ({ index, text, logprobs, finishReason }) => ({
      ...chunk,
      choices: [
        choiceOf(index, text === '' && logprobs === null ? {} : { content: text }, contentOf(logprobs), finishReason),
      ],
    }),
    usageChunkOf: (usage) => ({ ...chunk, choices: [], usage }),
    bodyOf: (all, usage) => ({ ...head, object: 'chat.completion', choices: all.map(wholeChoice), usage }),
  };
}

const contentOf = (token: unknown): object | null => (token === null ? null : { content: [token], refusal: null });

function wholeChoice(pieces: readonly Piece[], index: number): object {
  const tokens = pieces.flatMap(({ logprobs }) => (logprobs === null ? [] : [logprobs]));
  return {
    index,
    message: { role: 'assistant', content: pieces.map(({ text }) => text).join(''), refusal: null },
    logprobs: tokens.length === 0 ? null : { content: tokens, refusal: null },
    finish_reason: pieces.at(-1)?.finishReason ?? null,
  };
}

function piecesOf(event: SequenceEvent, texts: TokenTexts): Piece[] {
  const { index } = event.request;
  if (event.type === 'token') {
    const logprobs = event.logprob === null ? null : chatToken(event.logprob, texts);
    return event.text === '' && logprobs === null ? [] : [{ index, text: event.text, logprobs, finishReason: null }];
  }
  if (event.type !== 'end') return [];
  return [{ index, text: event.text, logprobs: null, finishReason: finishOf(event.finishReason) }];
}

/** OpenAI's form for a token of a chat. */
function chatToken(found: TokenLogprob, texts: TokenTexts): object {
  return { ...tokenOf(texts.named(found)), top_logprobs: found.top.map((each) => tokenOf(texts.named(each))) };
}

const encoder = new TextEncoder();
const tokenOf = ({ text, isText, logprob }: NamedToken): object => ({
  token: text,
  logprob,
  bytes: isText ? [...encoder.encode(text)] : null,
});
