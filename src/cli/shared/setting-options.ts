/** Flags for all settings, from the one table in src/config. */
import { type Command, Option } from 'commander';
import { generateEstimateSettings, generateSettings } from '../../config/generate.ts';
import { type FlagRow, flagTable, quietFlagNames } from '../../config/index.ts';
import { serveSettings } from '../../config/serve.ts';

/**
 * Adds a flag per setting, grouped by section; names that are aliases or refused get a hidden flag.
 * @param own names whose flags the command adds itself
 */
export function addSettingOptions(command: Command, own: readonly string[] = []): Command {
  for (const row of flagTable())
    command.addOption(new Option(`${row.flag} ${argument(row)}`, helpOf(row)).helpGroup(`${row.section}:`));
  for (const name of quietFlagNames())
    if (!own.includes(name)) command.addOption(new Option(`--${name} [value]`).hideHelp());
  return command;
}

/** Picks the settings among parsed options, as the loader takes them. */
export function givenSettings(options: Readonly<Record<string, unknown>>): Record<string, string | true> {
  const names = new Set<string>([...flagTable().map((row) => row.key), ...quietFlagNames()]);
  return Object.fromEntries(
    Object.entries(options).filter((entry): entry is [string, string | true] => names.has(entry[0])),
  );
}

const commandKeys = [generateSettings, generateEstimateSettings, serveSettings].flatMap(({ shape }) =>
  Object.keys(shape),
);

/** Rewrites flags such as `--learning-rate`, which axolotl and mlx-lm users type, with underscores. */
export function underscoreSettings(argv: readonly string[]): string[] {
  const names = new Set<string>([...flagTable().map((row) => row.key), ...quietFlagNames(), ...commandKeys]);
  const end = argv.includes('--') ? argv.indexOf('--') : argv.length;
  return argv.map((arg, index) => {
    const [, name, rest] = /^--([a-z0-9-]+)(=.*)?$/s.exec(arg) ?? [];
    const spelled = name?.replaceAll('-', '_');
    return index < end && spelled !== undefined && names.has(spelled) ? `--${spelled}${rest ?? ''}` : arg;
  });
}

function argument({ isBoolean, flagType }: FlagRow): string {
  if (!isBoolean) return '<value>';
  return flagType === 'true or false' ? '[true|false]' : '[value]';
}

function helpOf(row: FlagRow): string {
  const departure = 'huggingFaceDefault' in row ? `, Hugging Face: ${String(row.huggingFaceDefault)}` : '';
  const standard = row.default === undefined ? 'required' : `default ${JSON.stringify(row.default)}${departure}`;
  return `${row.help} (${row.flagType}; ${standard})`;
}
