/** The settings of commands that take models and adapters by their names on the hub. */
import { z } from 'zod';
import type { ConfigProblem } from '../errors.ts';
import { checkedSettings } from './checked-settings.ts';
import { settings } from './settings.ts';

export const hubSettings = z.strictObject({
  model_revision: settings.shape.model_revision,
  offline: settings.shape.offline,
});

export type HubConfig = z.output<typeof hubSettings>;

/**
 * Checks settings and fills in defaults. `whereOf` names the source of a setting in messages.
 * @throws ConfigError with all that is wrong, and with `found` before it
 */
export function checkHubSettings(
  given: Readonly<Record<string, unknown>>,
  whereOf: (key: string) => string,
  found: readonly ConfigProblem[] = [],
): HubConfig {
  return checkedSettings(hubSettings, given, whereOf, found);
}
