/** Does the work of `nibble estimate`: the memory of each method and what cards hold, as a table, as Markdown or as JSON. */
import { cardNamed } from '../../estimate/card-names.ts';
import { deviceProfile, estimateConfig } from '../../node/estimate.ts';
import { renderMarkdown } from '../../report/markdown.ts';
import type { CliContext } from '../shared/context.ts';
import { lateWork } from '../shared/late-work.ts';
import type { EstimateArgs } from './command.ts';
import { estimateDocument } from './document.ts';
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
