/** Environment variables that stand for an argument or a flag of a command, such as in a container's description. */
import { show } from '../../config/show.ts';
import { ConfigError } from '../../errors.ts';
import type { CliContext } from './context.ts';

type Environment = CliContext['env'];

/** Settings for a command that is given no file: their path, or their text. */
export const CONFIG_VARIABLE = 'NIBBLE_CONFIG';
/** Form of the log of `nibble train`: text, or json for JSON lines. */
const LOG_VARIABLE = 'NIBBLE_LOG';
const UNATTENDED_VARIABLE = 'NIBBLE_UNATTENDED';

/** Whether a variable holds settings rather than a path: a mapping of YAML or JSON, in one line or more. */
export function isConfigText(value: string): boolean {
  return /^\s*\{|:\s|:$|\n/.test(value);
}

/** Whether NIBBLE_LOG asks for JSON lines. @throws ConfigError */
export function asksForJson(env: Environment): boolean {
  return oneOf(env, LOG_VARIABLE, { text: false, json: true });
}

/** Whether NIBBLE_UNATTENDED asks for a run that goes on by itself. @throws ConfigError */
export function asksForUnattended(env: Environment): boolean {
  return oneOf(env, UNATTENDED_VARIABLE, { false: false, '0': false, true: true, '1': true });
}

/** A variable that is empty is one that nobody set. */
function oneOf(env: Environment, name: string, meanings: Readonly<Record<string, boolean>>): boolean {
  const value = env[name] ?? '';
  if (value === '') return false;
  const meaning = new Map(Object.entries(meanings)).get(value);
  if (meaning !== undefined) return meaning;
  const wanted = Object.keys(meanings).sort().join(', ');
  throw new ConfigError([{ path: name, message: `got ${show(value)}, wanted one of ${wanted}` }]);
}
