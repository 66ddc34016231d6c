/** Server-sent events as OpenAI streams them: an object on each, and [DONE] at the end. */
import type { ApiError } from './errors.ts';

export type EventSource = {
  readonly events: AsyncGenerator<object, void>;
  /** What a failure is to the client. */
  readonly asApiError: (error: unknown) => ApiError;
  /** Called when nobody reads any more. */
  readonly onLeave: () => void;
};

/** A response that sends objects as they come. A failure becomes a last event with an error. */
export function eventStream({ events, asApiError, onLeave }: EventSource): Response {
  const encoder = new TextEncoder();
  const event = (text: string): Uint8Array => encoder.encode(`data: ${text}\n\n`);
  let isOpen = true;
  const send = (controller: ReadableStreamDefaultController<Uint8Array>, text: string, isLast: boolean): void => {
    if (!isOpen) return;
    controller.enqueue(event(text));
    if (isLast) controller.close();
  };
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      try {
        const { value, done } = await events.next();
        send(controller, done === true ? '[DONE]' : JSON.stringify(value), done === true);
      } catch (error) {
        send(controller, JSON.stringify(asApiError(error).body), true);
      }
    },
    cancel() {
      isOpen = false;
      onLeave();
    },
  });
  return new Response(body, {
    headers: {
      'Content-Type': 'text/event-stream; charset=utf-8',
      'Cache-Control': 'no-cache',
      // a proxy that gathers an answer first would undo the stream
      'X-Accel-Buffering': 'no',
    },
  });
}
