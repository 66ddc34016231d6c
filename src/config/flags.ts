/** The settings as a table: what a command line, a help text or a page of documentation needs to know of each. */
import { inWords, type SchemaNode, schemaOf } from './describe.ts';
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
  /** The same as it is typed after a flag or into the environment. */
  readonly flagType: string;
  /** A bare flag means true. */
  readonly isBoolean: boolean;
  /** undefined where the setting has to be given. */
  readonly default: unknown;
  /** Present where Hugging Face has another default. */
  readonly huggingFaceDefault?: unknown;
  readonly help: string;
  readonly aliases: readonly string[];
};

/** One row per setting, in the order of the sections. */
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
      isBoolean: schema.type === 'boolean',
      default: schema.default,
      ...(departure === undefined ? {} : { huggingFaceDefault: departure.huggingFace }),
      help: schema.description ?? '',
      aliases: [...ALIASES].filter(([, alias]) => alias.to === key).map(([name]) => name),
    };
  });
}

/** Lists and mappings are typed with commas; a mapping in a list, which only has a path, is typed as that path. */
function onOneLine(schema: SchemaNode): string {
  const { anyOf, type, items } = schema;
  if (type === 'object') return 'name=value pairs with commas between them';
  if (anyOf?.some((choice) => choice.type === 'array' || choice.type === 'object'))
    return anyOf.map(onOneLine).join(', or ');
  if (type !== 'array') return inWords(schema);
  return items?.type === 'object' ? 'paths with commas between them' : 'words with commas between them';
}

/** Names that a command line accepts without advertising them: aliases, and what is refused by name. */
export function quietFlagNames(): string[] {
  return [...ALIASES.keys(), ...UNSUPPORTED.keys()];
}
