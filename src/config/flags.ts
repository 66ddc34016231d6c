/** The settings as a table, for a command line, a help text or a page of documentation. */
import { inWords, type SchemaNode, schemaOf } from './describe.ts';
import { FOREIGN_NAMES } from './foreign.ts';
import { envName, flagName } from './layers.ts';
import { ALIASES } from './names.ts';
import { DEPARTURES, SECTIONS, type SettingKey, settingKeys, settings } from './settings.ts';
import { UNSUPPORTED } from './unsupported.ts';

export type FlagRow = {
  readonly key: SettingKey;
  readonly flag: string;
  readonly env: string;
  readonly section: string;
  /** The type in words, such as "an integer of at least 1". */
  readonly type: string;
  /** The type as it is typed after a flag or into the environment. */
  readonly flagType: string;
  /** A flag without a value means true. */
  readonly isBoolean: boolean;
  /** undefined where a value is required. */
  readonly default: unknown;
  /** Present where Hugging Face has another default. */
  readonly huggingFaceDefault?: unknown;
  readonly help: string;
  readonly aliases: readonly string[];
};

/** Lists the settings, one row each, in the order of the sections. */
export function flagTable(): FlagRow[] {
  const sections = Object.entries(SECTIONS);
  return settingKeys.map((key) => {
    const schema = schemaOf(settings.shape[key]);
    const departure = DEPARTURES[key];
    return {
      key,
      flag: flagName(key),
      env: envName(key),
      section: sections.find(([, keys]) => Object.hasOwn(keys, key))![0],
      type: inWords(schema),
      flagType: onOneLine(schema),
      isBoolean: isBoolean(schema),
      default: schema.default,
      ...(departure === undefined ? {} : { huggingFaceDefault: departure.huggingFace }),
      help: schema.description ?? '',
      aliases: [...ALIASES].filter(([, alias]) => alias.to === key).map(([name]) => name),
    };
  });
}

/** Describes a type as text on a command line: lists and mappings with commas, a dataset as its path. */
function onOneLine(schema: SchemaNode): string {
  const { anyOf, type, items } = schema;
  if (type === 'object') return 'name=value pairs with commas between them';
  if (anyOf?.some((choice) => choice.type === 'array' || choice.type === 'object'))
    return anyOf.map(onOneLine).join(', or ');
  if (type !== 'array') return inWords(schema);
  return items?.type === 'object' ? 'paths with commas between them' : 'words with commas between them';
}

/** Lists flags that are left out of the help: aliases, and names that are refused with a reason. */
export function quietFlagNames(): string[] {
  return [...ALIASES.keys(), ...FOREIGN_NAMES, ...UNSUPPORTED.keys()];
}

/** Whether a bare flag can stand for true, among whatever else the setting takes: `--gradient_checkpointing`. */
function isBoolean({ type, anyOf = [] }: SchemaNode): boolean {
  return type === 'boolean' || (Array.isArray(type) && type.includes('boolean')) || anyOf.some(isBoolean);
}
