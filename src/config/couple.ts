/** Pairs of settings that say one thing twice: the one that was set decides, the later source wins, a tie is a mistake. */
import type { ConfigProblem } from '../errors.ts';
import { showSetting } from './describe.ts';
import type { Entry } from './layers.ts';
import type { Notice } from './notice.ts';
import { defaultOf, type Method, type SettingKey } from './settings.ts';

/** What is set so far, by key; `rank` grows with precedence. */
export type Merged = Map<SettingKey, Entry & { readonly rank: number }>;
export type Findings = { problems: ConfigProblem[]; notices: Notice[] };

/** Reads a setting's value as far as it is known: what was set, else the default. */
export function current(set: Merged, key: SettingKey): unknown {
  return set.has(key) ? set.get(key)!.value : defaultOf(key);
}

/** Reports a setting without effect, unless it is the default written out, as in the config of an earlier run. */
export function noEffect(found: Findings, { key, value, path, origin }: Entry, because: string): void {
  if (origin.source === 'default' || showSetting(value) === showSetting(defaultOf(key))) return;
  found.notices.push({ path, message: `has no effect: ${because} (${origin.where})` });
}

/** Makes method and load_in_4bit agree: qlora is lora with load_in_4bit: true. */
export function coupleMethod(set: Merged, found: Findings): void {
  const method = set.get('method');
  const in4bit = set.get('load_in_4bit');
  const implied: Method = in4bit?.value ? 'qlora' : 'lora';
  if (method === undefined || in4bit === undefined) {
    if (method) follow(set, 'load_in_4bit', method.value === 'qlora', 'method');
    if (in4bit) follow(set, 'method', implied, 'load_in_4bit');
    return;
  }
  if ((method.value === 'qlora') === in4bit.value) return;
  // Turning 4-bit on is no request to stop training every weight, so `full` is never overridden from here.
  const tie = method.rank === in4bit.rank || (method.rank < in4bit.rank && method.value === 'full');
  const because = 'qlora is lora with load_in_4bit: true, lora and full are without';
  if (tie) found.problems.push(contradiction(method, in4bit, because));
  else if (method.rank > in4bit.rank) override(set, found, in4bit, method.value === 'qlora', 'method');
  else override(set, found, method, implied, 'load_in_4bit');
}

/** Makes compute_dtype and bnb_4bit_compute_dtype agree: a run has one, so that both arms of a comparison compute alike. */
export function coupleComputeDtype(set: Merged, found: Findings): void {
  const ours = set.get('compute_dtype');
  const theirs = set.get('bnb_4bit_compute_dtype');
  if (ours === undefined || theirs === undefined) {
    if (ours) follow(set, 'bnb_4bit_compute_dtype', ours.value, 'compute_dtype');
    if (theirs) follow(set, 'compute_dtype', theirs.value, 'bnb_4bit_compute_dtype');
    return;
  }
  if (ours.value === theirs.value) return;
  const because = 'they are two spellings of one setting';
  if (ours.rank === theirs.rank) found.problems.push(contradiction(ours, theirs, because));
  else if (ours.rank > theirs.rank) override(set, found, theirs, ours.value, 'compute_dtype');
  else override(set, found, ours, theirs.value, 'bnb_4bit_compute_dtype');
}

function follow(set: Merged, key: SettingKey, value: unknown, leader: SettingKey): void {
  const { path, origin, rank } = set.get(leader)!;
  set.set(key, { key, value, path, rank, origin: { ...origin, note: `follows ${leader}` } });
}

function override(set: Merged, found: Findings, loser: Entry, value: unknown, leader: SettingKey): void {
  const winner = set.get(leader)!;
  const message = `${showSetting(loser.value)} (${loser.origin.where}) gives way to ${leader}: ${showSetting(winner.value)} (${winner.origin.where})`;
  if (loser.origin.source !== 'default') found.notices.push({ path: loser.path, message, isFollowed: true });
  follow(set, loser.key, value, leader);
}

function contradiction(a: Entry, b: Entry, because: string): ConfigProblem {
  return {
    path: a.path,
    message:
      `${showSetting(a.value)} (${a.origin.where}) contradicts ${b.key}: ${showSetting(b.value)} (${b.origin.where}); ` +
      `${because}; remove one of the two`,
  };
}
