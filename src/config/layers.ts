/** One source of settings (a file, the environment, the flags) as entries under our own names. */
import type { ConfigProblem } from '../errors.ts';
import { axolotlDatasets } from './axolotl-datasets.ts';
import { inWords, schemaOf, showSetting, typeProblems, unknownKey } from './describe.ts';
import { FOREIGN_NAMES, insteadOf } from './foreign.ts';
import { ALIASES, isSettingKey, NONE_IS_DEFAULT, typeOf } from './names.ts';
import type { Notice } from './notice.ts';
import { type SettingKey, settingKeys, settings } from './settings.ts';
import { show } from './show.ts';
import { valueOfText } from './text-value.ts';
import { INSTEAD_OF_UNSUPPORTED, UNSUPPORTED, UNSUPPORTED_VALUES, WHY_UNSUPPORTED } from './unsupported.ts';
import type { YamlFile } from './yaml-file.ts';

export type SourceKind = 'default' | 'file' | 'env' | 'flag' | 'options' | 'arm' | 'adapter';

/** Where a value came from: `where` is what a person looks up ("train.yaml:4", "NIBBLE_LORA_R", "--lora_r"). */
export type Origin = { readonly source: SourceKind; readonly where: string; readonly note?: string };

export type Entry = {
  readonly key: SettingKey;
  /** As the user wrote it, with what stands around it: "arms.qlora.lora_rank". */
  readonly path: string;
  readonly value: unknown;
  /** What was asked for, where a rule put another value in its place. */
  readonly requested?: unknown;
  readonly origin: Origin;
};

export type Layer = {
  /** What the source sets, where the value fits its type. */
  readonly entries: ReadonlyMap<SettingKey, Entry>;
  /** Every setting the source names, even with a value that does not fit: it is wrong then, not missing. */
  readonly mentioned: ReadonlySet<SettingKey>;
  readonly problems: readonly ConfigProblem[];
  readonly notices: readonly Notice[];
};

type Draft = {
  name: string;
  path: string;
  value: unknown;
  origin: Origin;
  place: (inner: readonly PropertyKey[]) => string;
};

const ENV_PREFIX = 'NIBBLE_';
// The test suite's own switches; child processes inherit them.
const TEST_PREFIX = 'NIBBLE_TEST_';
/**
 * Variables of the process, not of the run: its device (src/node/device-choice.ts), and where `nibble train` has its settings
 * from and how it runs (src/cli/shared/variables.ts).
 */
const PROCESS_VARIABLES: readonly string[] = [
  ...(['NIBBLE_DEVICE', 'NIBBLE_ADAPTER'] as const),
  ...(['NIBBLE_CONFIG', 'NIBBLE_LOG', 'NIBBLE_UNATTENDED'] as const),
];
const settingNames = new Set<string>([...settingKeys, ...ALIASES.keys()]);
const known = (): Iterable<string> => [...settingNames, ...FOREIGN_NAMES, ...UNSUPPORTED.keys()];

/** Names the flag of a setting. */
export const flagName = (key: string): string => `--${key}`;
/** Names the environment variable of a setting. */
export const envName = (key: string): string => ENV_PREFIX + key.toUpperCase();

/** Reads the settings in a mapping of a file; `at` is the path to it from the root (empty for a training config). */
export function fileLayer(file: YamlFile, at: readonly string[], mapping: object, source: SourceKind = 'file'): Layer {
  return layerOf(
    Object.entries(mapping).map(([name, value]) => {
      const place = (inner: readonly PropertyKey[]) => file.place([...at, name, ...inner]);
      return { name, value, place, path: [...at, name].join('.'), origin: { source, where: place([]) } };
    }),
  );
}

/** Reads the settings among environment variables. An unknown NIBBLE_ name is a notice: another program may use it. */
export function envLayer(env: Readonly<Record<string, string | undefined>>): Layer {
  const isSetting = (name: string): boolean =>
    name.startsWith(ENV_PREFIX) && !name.startsWith(TEST_PREFIX) && !PROCESS_VARIABLES.includes(name);
  const named = Object.entries(env).filter(([name]) => isSetting(name));
  const key = (name: string) => name.slice(ENV_PREFIX.length).toLowerCase();
  const layer = layerOf(
    named
      .filter(([name, text]) => text !== undefined && (settingNames.has(key(name)) || UNSUPPORTED.has(key(name))))
      .map(([name, text]) => textDraft(key(name), name, text!, 'env')),
  );
  const unknown = named
    .filter(([name]) => !settingNames.has(key(name)) && !UNSUPPORTED.has(key(name)))
    .map(([name]) => unknownKey(name, key(name), known(), 'not read'));
  return { ...layer, notices: [...layer.notices, ...unknown] };
}

/** Reads the settings among flags, given as text by key. A flag without a value is `true`. */
export function flagLayer(flags: Readonly<Record<string, string | true | undefined>>): Layer {
  return layerOf(
    Object.entries(flags).flatMap(([name, text]) =>
      text === undefined ? [] : [textDraft(name.replaceAll('-', '_'), flagName(name), String(text), 'flag')],
    ),
  );
}

/** Reads the settings of an object that a program made: values with their own types. An undefined value sets nothing. */
export function optionsLayer(options: object, origin: Origin = { source: 'options', where: 'options' }): Layer {
  return layerOf(
    Object.entries(options).flatMap(([name, value]) =>
      value === undefined ? [] : [{ name, value, path: name, origin, place: () => origin.where }],
    ),
  );
}

function textDraft(name: string, where: string, text: string, source: SourceKind): Draft {
  const type = typeOf(name);
  const value = type === undefined ? looseValue(text) : valueOfText(text, type);
  return { name, path: name, value, origin: { source, where }, place: () => where };
}

function looseValue(text: string): unknown {
  if (text === 'true' || text === 'false') return text === 'true';
  if (text === 'null' || text === '') return null;
  return Number.isNaN(Number(text)) ? text : Number(text);
}

function layerOf(drafts: Draft[]): Layer {
  const entries = new Map<SettingKey, Entry>();
  const mentioned = new Set<SettingKey>();
  const problems: ConfigProblem[] = [];
  const notices: Notice[] = [];
  for (const draft of drafts) {
    const key = keyOf(draft, problems, notices);
    if (key === undefined || (draft.value === null && NONE_IS_DEFAULT.has(key))) continue;
    mentioned.add(key);
    if (key === 'datasets' || key === 'eval_datasets') {
      const read = axolotlDatasets(draft.value, draft.path, draft.place);
      draft.value = read.value;
      for (const problem of read.problems) problems.push(problem);
      for (const notice of read.notices) notices.push(notice);
    }
    const type = typeOf(draft.name) ?? settings.shape[key];
    const wrong = unsupportedValue(key, draft) ?? typeProblems(type, draft.value, draft.path, draft.place);
    for (const problem of wrong) problems.push(problem);
    const convert = ALIASES.get(draft.name)?.convert;
    const value = convert && wrong.length === 0 ? convert(draft.value) : draft.value;
    if (value === undefined) continue;
    const earlier = entries.get(key);
    // a recipe writes out what it leaves unset: `lora_target_modules:` beside `lora_target_linear: true`
    if (earlier && value === null) continue;
    if (earlier && earlier.value !== null)
      problems.push({
        path: draft.path,
        message: `says the same as ${earlier.path} (${earlier.origin.where}); keep one of the two (${draft.origin.where})`,
      });
    if (wrong.length > 0 || (earlier && earlier.value !== null)) continue;
    entries.set(key, { key, path: draft.path, value, origin: draft.origin });
  }
  return { entries, mentioned, problems, notices };
}

/** Finds the setting that a draft sets; undefined after reporting why there is none. */
function keyOf(draft: Draft, problems: ConfigProblem[], notices: Notice[]): SettingKey | undefined {
  const { name, path, value, origin } = draft;
  if (isSettingKey(name)) return name;
  const alias = ALIASES.get(name);
  if (alias) {
    if (value === null) return undefined;
    notices.push({ path, message: `read as ${alias.to} (${origin.where})`, isFollowed: true });
    return alias.to;
  }
  const instead = insteadOf(name, value);
  if (instead !== undefined) {
    if (instead !== null) {
      const { text, isFollowed } = instead;
      notices.push({ path, message: `${show(value)}: ${text} (${origin.where})`, isFollowed });
    }
    return undefined;
  }
  const accepted = UNSUPPORTED.get(name);
  if (accepted === undefined) problems.push(unknownKey(path, name, known(), origin.where));
  else if (!accepted.some((fine) => sameValue(fine, value))) {
    const next = INSTEAD_OF_UNSUPPORTED.get(name) ?? `remove it, or set ${show(accepted[0])}`;
    problems.push({ path, message: `is not supported yet: got ${show(value)}; ${next} (${origin.where})` });
  }
  return undefined;
}

function unsupportedValue(key: SettingKey, { path, value, origin }: Draft): ConfigProblem[] | undefined {
  if (!UNSUPPORTED_VALUES[key]?.includes(value)) return undefined;
  const wanted = inWords(schemaOf(settings.shape[key]));
  const why = WHY_UNSUPPORTED[key] === undefined ? '' : `: ${WHY_UNSUPPORTED[key]}`;
  return [
    {
      path,
      message: `got ${showSetting(value)}, which is not supported yet${why}; wanted ${wanted} (${origin.where})`,
    },
  ];
}

/** The values accepted are short, so that what `show` cuts equals none of them. */
const sameValue = (a: unknown, b: unknown): boolean => show(a) === show(b);
