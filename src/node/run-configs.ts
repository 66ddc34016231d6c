/** The configuration of a run in the readings that it is needed in. */
import { type ResolvedConfig, settleComputeDtype } from '../config/index.ts';
import type { Device } from '../gpu/device.ts';
import type { FetchedInputs } from './hub-inputs.ts';
import { withAbsolutePaths } from './inputs.ts';
import type { RunOptions } from './run-types.ts';

/** All with the settings that an adapter decides. The first two are read from, the others kept. */
export type Configs = {
  /** With paths as they were given, and the cache's folders for what comes from the hub. */
  readonly asGiven: ResolvedConfig;
  readonly absolute: ResolvedConfig;
  /** With names on the hub, at the commit that was fetched, in the place of the cache's folders. */
  readonly named: ResolvedConfig;
  readonly namedAbsolute: ResolvedConfig;
};

type Fetched = Pick<FetchedInputs, 'names' | 'snapshots'>;

export function configsOf(asGiven: ResolvedConfig, { names, snapshots }: Fetched, rows: RunOptions['rows']): Configs {
  const named = { ...asGiven, values: { ...asGiven.values, ...names } };
  const ids = new Set(snapshots.flatMap(({ id, commit }) => [id, `${id}@${commit}`]));
  return {
    asGiven,
    absolute: withAbsolutePaths(asGiven, rows),
    named,
    namedAbsolute: withAbsolutePaths(named, { has: (name) => rows?.has(name) === true || ids.has(name) }),
  };
}

/** Settles what they leave to the device. */
export function settle(given: Configs, profile: Device['profile']): { configs: Configs; notes: string[] } {
  const settled = settleComputeDtype(given.asGiven, profile);
  const alike = (config: ResolvedConfig): ResolvedConfig => settleComputeDtype(config, profile).config;
  const configs = {
    asGiven: settled.config,
    absolute: alike(given.absolute),
    named: alike(given.named),
    namedAbsolute: alike(given.namedAbsolute),
  };
  return { configs, notes: settled.note === null ? [] : [settled.note] };
}
