/** Does the work of `nibble estimate`: the memory of each method and what cards hold, as a table, as Markdown or as JSON. */
import { cardNamed } from '../../estimate/card-names.ts';
import { deviceProfile, estimateConfig } from '../../node/estimate.ts';
import { estimateGenerateFrom } from '../../node/estimate-generate.ts';
import { namedFolder } from '../../node/prompts.ts';
import { renderMarkdown } from '../../report/markdown.ts';
import type { CliContext } from '../shared/context.ts';
import { drawWork } from '../shared/draw-work.ts';
import { lateWork } from '../shared/late-work.ts';
import { createProgress } from '../shared/progress.ts';
import type { EstimateArgs, GenerateEstimateArgs } from './command.ts';
import { estimateDocument } from './document.ts';
import { generationTable } from './generation-table.ts';
import { guideTable } from './guide-table.ts';
import { estimateTable } from './table.ts';

/** Estimates and prints. @throws ConfigError, DataError; DeviceError when no method can be estimated */
export async function runEstimate(
  { config, modelConfig, profile, gpu, cards, json, markdown }: EstimateArgs,
  { stdout, stderr, env, signal }: CliContext,
): Promise<void> {
  const card = gpu === undefined ? null : cardNamed(gpu, '--gpu');
  const device = deviceProfile(profile ?? card?.maker, '--profile');
  const work = lateWork('estimate', { stderr, env });
  try {
    const job = { config, modelConfig, device, guide: cards ? { card } : null };
    const result = await estimateConfig(job, { onEvent: work.hear, signal });
    work.stop();
    if (json) stdout.write(`${JSON.stringify(result, null, 2)}\n`);
    else if (markdown) stdout.write(renderMarkdown(estimateDocument(result)));
    else stdout.write(`${estimateTable(result)}${guideTable(result)}`);
  } finally {
    work.stop();
  }
}

/** Estimates generation and prints. @throws ConfigError, DataError; DeviceError when no form of the base can be estimated */
export async function runGenerateEstimate(
  { model, adapters, config, profile, json }: GenerateEstimateArgs,
  { stdout, stderr, env, signal }: CliContext,
): Promise<void> {
  const device = deviceProfile(profile, '--profile');
  const progress = createProgress(stderr, env);
  try {
    const job = { model, modelName: 'model', adapters: adapters.map(namedFolder), config, device };
    const result = await estimateGenerateFrom(job, { onEvent: drawWork(progress), signal });
    progress.stop();
    stdout.write(json ? `${JSON.stringify(result, null, 2)}\n` : generationTable(result));
  } finally {
    progress.stop();
  }
}
