/** The settings of exporting an adapter to another program. */
import { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';
import { checkedSettings } from './checked-settings.ts';
import { hubSettings } from './hub.ts';

export const exportSettings = z.strictObject({
  ...hubSettings.shape,
  outtype: z
    .enum(['f32', 'f16'])
    .default('f32')
    .describe("what the adapter's values are written as; f16 is half the size and rounds them"),
});

export type ExportInput = z.input<typeof exportSettings>;
export type ExportConfig = z.output<typeof exportSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkExportSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): ExportConfig {
  return checkedSettings(exportSettings, given, whereOf, found);
}
