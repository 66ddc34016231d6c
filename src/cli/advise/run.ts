/** Does the work of `nibble advise`. */
import { stat } from 'node:fs/promises';
import { measuredRatios } from '../../bench/measured-ratios.ts';
import { settleComputeDtype } from '../../config/index.ts';
import { DataError } from '../../errors.ts';
import { cardNamed } from '../../estimate/card-names.ts';
import { chooseMethod } from '../../estimate/choice.ts';
import type { Choice } from '../../estimate/choice-types.ts';
import type { MeasuredRatio } from '../../estimate/time-ratios.ts';
import { parseModelConfig } from '../../formats/hf-config.ts';
import { parseObject } from '../../formats/json.ts';
import { loadShaders } from '../../node/device.ts';
import { deviceProfile } from '../../node/estimate.ts';
import type { CliContext } from '../shared/context.ts';
import { lateWork } from '../shared/late-work.ts';
import type { AdviseArgs } from './command.ts';
import { withRowsOf } from './rows.ts';

/** Where results are looked for when no folder is given. */
const RESULTS = 'results';

/** Advises and prints. @throws ConfigError, DataError; DeviceError when the device can do no method */
export async function runAdvise(args: AdviseArgs, context: CliContext): Promise<void> {
  const { modelConfig, gpus, quality, adapters, profile: profileName, json } = args;
  const { stdout, signal } = context;
  const card = cardNamed(args.gpu, '--gpu');
  const profile = deviceProfile(profileName ?? card.maker, '--profile');
  const ratios = await ratiosIn(args.results);
  const { config: asked, note } = await withRowsOf(args.config, context);
  const { config } = settleComputeDtype(asked, profile);
  const model = parseModelConfig(parseObject(modelConfig.text, modelConfig.path), modelConfig.path);
  const job = { config, model, modelName: modelConfig.path, profile, shaders: loadShaders() };
  const work = lateWork('advise', context);
  try {
    const choice = await chooseMethod({ ...job, card, gpus, quality, adapters, ratios }, async (label) => {
      await new Promise((resolve) => setImmediate(resolve));
      signal.throwIfAborted();
      work.hear({ type: 'progress', phase: 'advise', label });
    });
    work.stop();
    stdout.write(json ? `${JSON.stringify({ ...choice, datasets: note }, null, 2)}\n` : inWords(choice, note));
  } finally {
    work.stop();
  }
}

/** @throws DataError for a folder that was asked for and is not there */
async function ratiosIn(folder: string | undefined): Promise<MeasuredRatio[]> {
  const isThere = (await stat(folder ?? RESULTS).catch(() => null))?.isDirectory() === true;
  if (folder !== undefined && !isThere)
    throw new DataError(
      folder,
      'is no folder; give one with records of runs, as nibble bench run writes them (--results)',
    );
  return isThere ? measuredRatios(folder ?? RESULTS) : [];
}

function inWords({ sentences: [answer = '', ...others], figures }: Choice, datasets: string | null): string {
  const { usable, assumed } = figures;
  const settings = Object.entries(assumed).map(([key, value]) => `${key} ${String(value)}`);
  const lines = [
    ...others,
    ...(datasets === null ? [] : [`The datasets have ${datasets}.`]),
    `${usable[0]?.toUpperCase()}${usable.slice(1)}.`,
    ...(settings.length === 0 ? [] : [`Assumed, since nothing was set: ${settings.join(', ')}.`]),
  ];
  return `${answer}\n\n${lines.map((line) => `- ${line}`).join('\n')}\n`;
}
