/** Which modules an adapter sits on, by PEFT's rules for target_modules and its companions. */

import { show } from '../config/show.ts';
import { ConfigError, type ConfigProblem } from '../errors.ts';

import type { Module } from '../formats/modules.ts';
import { type Anchor, pythonRegex } from '../formats/python-regex.ts';
import { withinTime } from '../formats/time-limit.ts';
import { type AdapterBase, endsInPath, lastSegment } from './base.ts';
import { contradictions, type LoraConfig } from './config.ts';

/** One adapted module; its LoRA output is multiplied by `scaling`. */
export type LoraTarget = {
  readonly name: string;
  readonly kind: 'linear' | 'embedding';
  readonly out: number;
  readonly in: number;
  readonly rank: number;
  readonly alpha: number;
  readonly scaling: number;
};

export type TargetFields = Pick<
  LoraConfig,
  | 'r'
  | 'lora_alpha'
  | 'use_rslora'
  | 'target_modules'
  | 'exclude_modules'
  | 'modules_to_save'
  | 'ensure_weight_tying'
  | 'layers_to_transform'
  | 'layers_pattern'
  | 'rank_pattern'
  | 'alpha_pattern'
>;

/** Settings that problems of an adapter are reported under. */
export type AdapterSetting = keyof TargetFields | 'lora_bias' | 'trainable_token_indices';

export type MatchOptions = {
  /** The name of a setting where the user wrote it. */
  readonly keyOf?: (setting: AdapterSetting) => string;
  /**
   * Refuses settings without effect, about which PEFT only warns. false for an adapter that exists already: its file shows
   * whether it is one for this model.
   */
  readonly strict?: boolean;
};

const ALL_LINEAR = 'all-linear';
/** All patterns on all modules of a large model take a tenth of a second. */
const LIMIT_MS = 5000;

/**
 * Finds the modules that the config adapts, in the order of named_modules. ConfigError: an adapter on a tied embedding, a
 * pattern that does not come to an end and, where `strict`, an entry, a pattern or a whole config that matches nothing; it
 * lists the name endings there are.
 */
export function matchTargets(config: TargetFields, base: AdapterBase, options: MatchOptions = {}): LoraTarget[] {
  const { keyOf = (setting) => setting, strict = true } = options;
  const report = new Report(base, keyOf);
  return withinTime(
    LIMIT_MS,
    () => matched(config, base, strict, report),
    () => report.late(),
  );
}

function matched(config: TargetFields, base: AdapterBase, strict: boolean, report: Report): LoraTarget[] {
  const adaptable = base.modules.filter((module) => module.kind !== 'norm');
  for (const { path, message } of contradictions(config)) report.add(path as keyof TargetFields, message);
  const wanted = config.target_modules ?? base.defaultTargets;
  if (wanted === null) throw report.targets('has no default for this architecture.');
  if (strict) requireEffect(config, wanted, base, report);
  const isTarget = targetRule(wanted, base, report);
  const isExcluded = exclusionRule(config, report);
  const inLayers = layerRule(config, wanted, report);
  const modules = adaptable.filter(
    (module) => isTarget(module) && inLayers(module.name) && !isExcluded(module.name),
  ) as Exclude<Module, { kind: 'norm' }>[];
  if (strict && modules.length === 0)
    throw report.targets(
      `${show(wanted)}, after exclude_modules, modules_to_save and layers_to_transform, matches no layer.`,
    );
  const rankOf = patternRule(config, 'rank_pattern', modules, strict, report);
  const alphaOf = patternRule(config, 'alpha_pattern', modules, strict, report);
  report.throwIfAny();
  refuseTied(modules, config, base, report);
  return modules.map((module) => {
    const rank = rankOf(module.name) ?? config.r;
    const alpha = alphaOf(module.name) ?? config.lora_alpha;
    const { name, kind, out, in: width } = module;
    return { name, kind, out, in: width, rank, alpha, scaling: alpha / (config.use_rslora ? Math.sqrt(rank) : rank) };
  });
}

/**
 * Writes targets as a list for target_modules: name endings where those select exactly this set, else full names. Other
 * tools that read adapters expect a list.
 */
export function explicitTargets(targets: readonly LoraTarget[], base: AdapterBase): string[] {
  const adapted = new Set(targets.map(({ name }) => name));
  const endings = [...new Set(targets.map(({ name }) => lastSegment(name)))];
  const exact = base.modules.every(({ name }) => adapted.has(name) || !endings.some((end) => endsInPath(name, end)));
  return exact ? endings : [...adapted];
}

type Pattern = Pick<RegExp, 'test' | 'exec'>;

/** Collects problems of several settings, each under the name its user knows. */
class Report {
  readonly #problems: ConfigProblem[] = [];
  readonly #base: AdapterBase;
  readonly #keyOf: (setting: AdapterSetting) => string;
  /** The pattern that was matched last. */
  #running: { readonly setting: keyof TargetFields; readonly written: string } | null = null;

  constructor(base: AdapterBase, keyOf: (setting: AdapterSetting) => string) {
    this.#base = base;
    this.#keyOf = keyOf;
  }

  add(setting: keyof TargetFields, message: string): void {
    this.#problems.push({ path: this.#keyOf(setting), message });
  }

  /** Adds a problem of target_modules, with the modules there are to choose from. @returns the error to throw */
  targets(problem: string): ConfigError {
    this.add('target_modules', `${problem} ${adaptableModules(this.#base)}; or use "${ALL_LINEAR}".`);
    return new ConfigError(this.#problems);
  }

  throwIfAny(): void {
    if (this.#problems.length > 0) throw new ConfigError(this.#problems);
  }

  /** The error for patterns that took too long. */
  late(): ConfigError {
    const { setting, written } = this.#running ?? { setting: 'target_modules' as const, written: '' };
    const why = 'a repetition inside a repetition, as in (a+)+, has as good as endless ways to match';
    this.add(setting, `${show(written)} takes more than ${LIMIT_MS / 1000} s on the names of the modules: ${why}.`);
    return new ConfigError(this.#problems);
  }

  regex(setting: keyof TargetFields, written: string, source: string, anchor: Anchor): Pattern {
    try {
      const pattern = pythonRegex(source, anchor);
      const started = (): RegExp => {
        this.#running = { setting, written };
        return pattern;
      };
      return { test: (name) => started().test(name), exec: (name) => started().exec(name) };
    } catch (cause) {
      const reason = cause instanceof Error ? cause.message : String(cause);
      this.add(setting, `${show(written)} is no regular expression that nibble can run (${reason}).`);
      throw new ConfigError(this.#problems);
    }
  }
}

/** Says which modules can be adapted. Neither end of a tied embedding can: see `refuseTied`. */
export function adaptableModules({ modules, inputEmbedding, outputEmbedding, tied }: AdapterBase): string {
  const linear = modules.filter(({ kind, name }) => kind === 'linear' && !(tied && name === outputEmbedding));
  const endings = [...new Set(linear.map(({ name }) => lastSegment(name)))].join(', ');
  return `Linear layers here end in ${endings}${tied ? '' : `, the embedding in ${lastSegment(inputEmbedding)}`}`;
}

type Rule = (name: string) => boolean;

function requireEffect(
  config: TargetFields,
  wanted: readonly string[] | string,
  base: AdapterBase,
  report: Report,
): void {
  const adaptable = base.modules.filter((module) => module.kind !== 'norm');
  if (typeof wanted !== 'string') {
    if (wanted.length === 0) throw report.targets('is an empty list.');
    const stray = wanted.find((entry) => !adaptable.some(({ name }) => endsInPath(name, entry)));
    if (stray !== undefined) throw report.targets(`${show(stray)} matches no layer.`);
  }
  const { exclude_modules: excluded } = config;
  if (excluded === null || excluded.length === 0) return;
  const isExcluded = listOrRegex(excluded, 'exclude_modules', report);
  if (!base.modules.some(({ name }) => isExcluded(name)))
    report.add('exclude_modules', `${show(excluded)} excludes no module. Leave it out, or give full names or endings.`);
}

function listOrRegex(
  entries: readonly string[] | string,
  setting: 'target_modules' | 'exclude_modules',
  report: Report,
): Rule {
  if (typeof entries !== 'string') return (name) => entries.some((entry) => endsInPath(name, entry));
  const whole = report.regex(setting, entries, entries, 'fullmatch');
  return (name) => whole.test(name);
}

function targetRule(
  wanted: readonly string[] | string,
  base: AdapterBase,
  report: Report,
): (module: Module) => boolean {
  if (typeof wanted === 'string' && wanted.toLowerCase() === ALL_LINEAR)
    return ({ kind, name }) => kind === 'linear' && name !== base.outputEmbedding;
  const rule = listOrRegex(wanted, 'target_modules', report);
  return ({ name }) => rule(name);
}

/** Excludes modules by exclude_modules, and those that are trained whole, with all modules inside them. */
function exclusionRule(config: TargetFields, report: Report): Rule {
  const { exclude_modules: excluded, modules_to_save: saved } = config;
  const byName: Rule =
    excluded === null || excluded.length === 0 ? () => false : listOrRegex(excluded, 'exclude_modules', report);
  const inside = (saved ?? []).map((entry) =>
    report.regex('modules_to_save', entry, `(^|.*\\.)${entry}($|\\..*)`, 'match'),
  );
  return (name) => byName(name) || inside.some((module) => module.test(name));
}

/** Selects modules by layer: its index is the first numbered segment after a name, or after one of `layers_pattern`. */
function layerRule(config: TargetFields, targets: readonly string[] | string, report: Report): Rule {
  const { layers_to_transform: wanted, layers_pattern: pattern } = config;
  const layers: readonly number[] = typeof wanted === 'number' ? [wanted] : (wanted ?? []);
  if (layers.length === 0) return () => true;
  const patterns = typeof pattern === 'string' ? [pattern] : (pattern ?? []);
  const places: Pattern[] = patterns
    .filter((entry) => entry !== '')
    .map((entry) => report.regex('layers_pattern', entry, `(?:^|.*?\\.)${entry}\\.(?P<idx>\\d+)\\.`, 'match'));
  if (places.length === 0) places.push(/^.*?\.[^.]*\.(?<idx>\d+)\./);
  return (name) => {
    // PEFT heeds the layers only for name endings, not for a full name
    if (targets.includes(name)) return true;
    const found = places.map((place) => place.exec(name)).find((match) => match !== null);
    const digits = found?.groups?.idx;
    return digits !== undefined && layers.includes(Number(digits));
  };
}

function patternRule(
  config: TargetFields,
  setting: 'rank_pattern' | 'alpha_pattern',
  targets: readonly Module[],
  strict: boolean,
  report: Report,
): (name: string) => number | undefined {
  const rules = Object.entries(config[setting]).map(([pattern, value]) => {
    const rule = report.regex(setting, pattern, `(.*\\.)?(${pattern})$`, 'match');
    if (strict && !targets.some(({ name }) => rule.test(name)))
      report.add(setting, `${show(pattern)} matches no adapted layer. Leave it out.`);
    return { rule, value };
  });
  return (name) => rules.find(({ rule }) => rule.test(name))?.value;
}

/** Refuses an adapter on a tied embedding: on one end it would untie the two, or change both when it is merged. */
function refuseTied(modules: readonly Module[], config: TargetFields, base: AdapterBase, report: Report): void {
  const ends = [base.inputEmbedding, base.outputEmbedding];
  const adapted = modules.filter(({ name }) => ends.includes(name));
  if (!base.tied || adapted.length === 0) return;
  const [first, second] = adapted.map(({ name }) => name);
  const names = second === undefined ? first : `${first} and ${second}`;
  const shared =
    second === undefined
      ? `which shares its weight with ${ends.find((end) => end !== first)}`
      : 'which share their weight';
  const why = config.ensure_weight_tying
    ? `adapts ${names}, whose weight is tied; nibble does not support one adapter for both ends yet. Leave it out, or train it with modules_to_save.`
    : `adapts ${names}, ${shared}: merging would change both. Leave it out.`;
  throw report.targets(why);
}
