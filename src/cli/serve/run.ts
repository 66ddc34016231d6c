/** Does the work of `nibble serve`: loads, says where it listens, and ends when a signal comes. */
import { namedFolder } from '../../node/prompts.ts';
import { serveFrom } from '../../node/serve.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { ServeArgs } from './command.ts';

/** @throws ConfigError, DataError, DeviceError; the signal's reason when aborted before requests are taken */
export async function runServe({ model, adapters, config, json }: ServeArgs, context: CliContext): Promise<void> {
  const { stdout, stderr, env, signal } = context;
  const progress = createProgress(stderr, env);
  const job = { model, modelName: 'model', adapters: adapters.map(namedFolder), config, device: askedDevice(context) };
  try {
    const server = await serveFrom(job, { signal, onEvent: drawWork(progress) });
    const { url, models } = server;
    stdout.write(json ? `${JSON.stringify({ url, models })}\n` : `serving ${models.join(', ')} on ${url}\n`);
    try {
      await Promise.race([aborted(signal), server.failed]);
      progress.note('ending: requests under way are answered, no new ones are taken');
    } finally {
      await server.close();
    }
  } finally {
    progress.stop();
  }
}

const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) resolve();
    signal.addEventListener('abort', () => resolve(), { once: true });
  });
