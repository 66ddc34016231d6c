/** Rules of report_to and logging_dir. */
import type { Findings, Merged } from './couple.ts';
import { showSetting } from './describe.ts';
import { type Given, listOf, type Reporter, reportersOf, SERVICES } from './reporters.ts';

/** Leaves out services, with a notice; refuses all and none beside others, as transformers does. */
export function reporterRules(set: Merged, found: Findings): void {
  const directory = set.get('logging_dir');
  const entry = set.get('report_to');
  if (entry === undefined) {
    withoutTensorboard(directory, [], found);
    return;
  }
  const names = listOf(entry.value as Given);
  const { path, origin } = entry;
  const alone = names.find((name) => name === 'all' || name === 'none');
  if (alone !== undefined && names.length > 1) {
    const message = `got ${showSetting(entry.value)}, but ${alone} stands alone; remove it, or the others (${origin.where})`;
    found.problems.push({ path, message });
  }
  const services = names.filter((name) => (SERVICES as readonly string[]).includes(name));
  if (services.length > 0) {
    const message =
      `${services.join(', ')}: nibble sends nothing anywhere; log and record of the run are in output_dir, and ` +
      `report_to: tensorboard writes event files (${origin.where})`;
    found.notices.push({ path, message });
    set.set('report_to', { ...entry, value: names.filter((name) => !services.includes(name)) });
  }
  withoutTensorboard(directory, reportersOf(entry.value as Given), found);
}

function withoutTensorboard(directory: ReturnType<Merged['get']>, files: readonly Reporter[], found: Findings): void {
  if (directory === undefined || directory.value === null || files.includes('tensorboard')) return;
  const message = `has no effect: report_to does not name tensorboard (${directory.origin.where})`;
  found.notices.push({ path: directory.path, message });
}
