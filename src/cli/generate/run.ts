/** Does the work of `nibble generate`: reads the prompts, shows the text as it comes, and how fast. */
import path from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { memoryReader } from '../../formats/memory.ts';
import { nodeReader } from '../../node/files.ts';
import { type GenerateEvent, type GenerateSummary, type Generation, generateFrom } from '../../node/generate.ts';
import { namedFolder, type Prompt, readPrompts } from '../../node/prompts.ts';
import { counted, formatBytes } from '../../report/format.ts';
import type { CliContext } from '../shared/context.ts';
import { askedDevice } from '../shared/device-choice.ts';
import { drawWork } from '../shared/draw-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { GenerateArgs } from './command.ts';

/**
 * Generates and prints. @param stdin the text of standard input; injected by tests
 * @throws ConfigError, DataError, DeviceError; the signal's reason when aborted
 */
export async function runGenerate(
  args: GenerateArgs,
  context: CliContext,
  stdin: () => Promise<string> = () => readAll(process.stdin),
): Promise<void> {
  const { model, adapters, config, json } = args;
  const { stdout, stderr, env, signal } = context;
  const prompts = await promptsOf(args, stdin);
  const progress = createProgress(stderr, env);
  const show = json ? jsonLines(stdout) : prompts.length === 1 ? streamed(stdout) : inOrder(stdout);
  const draw = drawWork(progress);
  try {
    const summary = await generateFrom(
      {
        model,
        modelName: 'model',
        adapters: adapters.map(namedFolder),
        prompts,
        config,
        device: askedDevice(context),
      },
      {
        signal,
        onEvent: (event) => {
          if (event.type === 'text' || event.type === 'generation') show(event);
          else draw(event);
        },
      },
    );
    progress.stop();
    stderr.write(`${figures(summary)}\n`);
  } finally {
    progress.stop();
  }
}

async function promptsOf({ prompts, file }: GenerateArgs, stdin: () => Promise<string>): Promise<Prompt[]> {
  const given = prompts.map((prompt): Prompt => ({ prompt, where: '--prompt' }));
  if (file === undefined) return given;
  if (file !== '-') return [...given, ...(await readPrompts(nodeReader(path.dirname(file)), path.basename(file)))];
  const name = 'standard input';
  return [...given, ...(await readPrompts(memoryReader(new Map([[name, await stdin()]])), name))];
}

type Show = (event: GenerateEvent) => void;

/** One text, piece by piece; token ids where the model has no tokenizer. */
function streamed(stdout: CliContext['stdout']): Show {
  return (event) => {
    if (event.type === 'text') stdout.write(event.text);
    else if (event.type === 'generation')
      stdout.write(event.generation.text === null ? `${textOf(event.generation)}\n` : '\n');
  };
}

/** Each text whole, below its number and adapter, as soon as those before it are there. */
function inOrder(stdout: CliContext['stdout']): Show {
  return ordered((generation) => {
    const { index, adapter } = generation;
    stdout.write(`--- ${index + 1}${adapter === null ? '' : ` (${adapter})`}\n${textOf(generation)}\n`);
  });
}

const jsonLines = (stdout: CliContext['stdout']): Show =>
  ordered((generation) => stdout.write(`${JSON.stringify(generation)}\n`));

function ordered(write: (generation: Generation) => void): Show {
  const done = new Map<number, Generation>();
  let next = 0;
  return (event) => {
    if (event.type !== 'generation') return;
    done.set(event.generation.index, event.generation);
    for (let found = done.get(next); found !== undefined; found = done.get(++next)) write(found);
  };
}

const textOf = ({ text, token_ids }: Generation): string => text ?? token_ids.join(' ');

function figures({ generations, new_tokens, seconds, tokens_per_second, peak_bytes }: GenerateSummary): string {
  const reasons = [...new Set(generations.map(({ finish_reason }) => finish_reason))].join(', ');
  const speed = `${counted(new_tokens, 'token')} in ${seconds.toFixed(1)} s, ${tokens_per_second.toFixed(1)} tokens/s`;
  return `${speed} (${reasons}); peak GPU memory ${formatBytes(peak_bytes)}`;
}
