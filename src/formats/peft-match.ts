/** Which linear layers an adapter sits on, by PEFT's rules for target_modules and its companions. */
import { ConfigError } from '../errors.ts';
import { show } from './json.ts';
import type { LoraConfig } from './peft-config.ts';

/** One adapted layer; its LoRA output is multiplied by `scaling`. */
export type LoraTarget = {
  readonly name: string;
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
  | 'layers_to_transform'
  | 'layers_pattern'
  | 'rank_pattern'
  | 'alpha_pattern'
>;

export type MatchOptions = {
  /** The module that turns hidden states into logits: "all-linear" leaves it out. */
  readonly outputEmbedding?: string;
  /** It shares its weight with the input embedding, so an adapter on it is refused. */
  readonly tiedOutput?: boolean;
  /** How the setting is called where the user wrote it. */
  readonly key?: string;
};

export const ALL_LINEAR = 'all-linear';
/** What PEFT adapts in a Llama when target_modules is left out. */
export const DEFAULT_TARGETS = ['q_proj', 'v_proj'];

/**
 * The layers of `linear` that the config adapts, in the order of `linear`.
 * ConfigError when an entry, a pattern or the whole matches nothing: it lists the name endings there are.
 */
export function matchTargets(
  config: TargetFields,
  linear: readonly string[],
  options: MatchOptions = {},
): LoraTarget[] {
  const { outputEmbedding = 'lm_head', tiedOutput = false, key = 'target_modules' } = options;
  const wanted = config.target_modules ?? DEFAULT_TARGETS;
  const fail = (problem: string): never => {
    const endings = [...new Set(linear.map(lastSegment))].join(', ');
    throw new ConfigError([
      { path: key, message: `${problem} Linear layers here end in ${endings}; or use "${ALL_LINEAR}".` },
    ]);
  };
  const isTarget = targetRule(wanted, outputEmbedding, key);
  if (typeof wanted !== 'string') {
    if (wanted.length === 0) fail('is an empty list.');
    for (const entry of wanted) {
      if (!linear.some((name) => endsInPath(name, entry))) fail(`${show(entry)} matches no linear layer.`);
    }
  }
  const isExcluded = exclusionRule(config.exclude_modules);
  const inLayers = layerRule(config, wanted);
  const names = linear.filter((name) => isTarget(name) && inLayers(name) && !isExcluded(name));
  if (names.length === 0)
    fail(`${show(wanted)}, after exclude_modules and layers_to_transform, matches no linear layer.`);
  if (tiedOutput && names.includes(outputEmbedding)) {
    fail(
      `adapts ${outputEmbedding}, which shares its weight with the embedding: merging would change both. Leave it out.`,
    );
  }
  const rankOf = patternRule(config.rank_pattern, 'rank_pattern');
  const alphaOf = patternRule(config.alpha_pattern, 'alpha_pattern');
  return names.map((name) => {
    const rank = rankOf(name) ?? config.r;
    const alpha = alphaOf(name) ?? config.lora_alpha;
    return { name, rank, alpha, scaling: alpha / (config.use_rslora ? Math.sqrt(rank) : rank) };
  });
}

/**
 * The same targets as a list that stands without the words "all-linear": name endings where they say exactly this
 * set, else full names. Other tools that read adapters expect a list.
 */
export function explicitTargets(targets: readonly LoraTarget[], linear: readonly string[]): string[] {
  const adapted = new Set(targets.map(({ name }) => name));
  const endings = [...new Set(targets.map(({ name }) => lastSegment(name)))];
  const exact = linear.every((name) => adapted.has(name) || !endings.some((ending) => endsInPath(name, ending)));
  return exact ? endings : [...adapted];
}

type Rule = (name: string) => boolean;

function targetRule(wanted: readonly string[] | string, outputEmbedding: string, key: string): Rule {
  if (typeof wanted !== 'string') return (name) => wanted.some((entry) => endsInPath(name, entry));
  if (wanted.toLowerCase() === ALL_LINEAR) return (name) => name !== outputEmbedding;
  const whole = regex(`^(?:${wanted})$`, key, wanted);
  return (name) => whole.test(name);
}

function exclusionRule(excluded: readonly string[] | string | null): Rule {
  if (excluded === null || excluded.length === 0) return () => false;
  if (typeof excluded !== 'string') return (name) => excluded.some((entry) => endsInPath(name, entry));
  const whole = regex(`^(?:${excluded})$`, 'exclude_modules', excluded);
  return (name) => whole.test(name);
}

/** A layer's index is the first numbered segment after a name, or after one of `layers_pattern`. */
function layerRule(config: TargetFields, targets: readonly string[] | string): Rule {
  const { layers_to_transform: wanted, layers_pattern: pattern } = config;
  const layers: readonly number[] = typeof wanted === 'number' ? [wanted] : (wanted ?? []);
  // PEFT heeds the layers only for name endings, not for a regular expression or a full name
  if (layers.length === 0 || typeof targets === 'string') return () => true;
  const patterns = typeof pattern === 'string' ? [pattern] : (pattern ?? []);
  const places = patterns
    .filter((entry) => entry !== '')
    .map((entry) => regex(`^(?:.*?\\.)?(?:${entry})\\.(\\d+)\\.`, 'layers_pattern', entry));
  if (places.length === 0) places.push(/^.*?\.[^.]*\.(\d+)\./);
  return (name) => {
    if (targets.includes(name)) return true;
    const index = places.map((place) => place.exec(name)?.[1]).find((digits) => digits !== undefined);
    return index !== undefined && layers.includes(Number(index));
  };
}

function patternRule(patterns: Readonly<Record<string, number>>, key: string): (name: string) => number | undefined {
  const rules = Object.entries(patterns).map(
    ([pattern, value]) => [regex(`^(?:.*\\.)?(?:${pattern})$`, key, pattern), value] as const,
  );
  return (name) => rules.find(([rule]) => rule.test(name))?.[1];
}

function regex(source: string, key: string, written: string): RegExp {
  try {
    return new RegExp(source);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ConfigError([
      { path: key, message: `${show(written)} is not a regular expression JavaScript knows (${reason}).` },
    ]);
  }
}

function endsInPath(name: string, ending: string): boolean {
  return name === ending || name.endsWith(`.${ending}`);
}

function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
