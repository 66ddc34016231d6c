/** The command line with its environment; commands do no work, they only understand their arguments. */
import fc from 'fast-check';
import { benchCommand } from '../../../src/cli/bench/command.ts';
import { configCommand } from '../../../src/cli/config/command.ts';
import { doctorCommand } from '../../../src/cli/doctor/command.ts';
import { estimateCommand } from '../../../src/cli/estimate/command.ts';
import type { CommandMaker } from '../../../src/cli/program.ts';
import { quantizeCommand } from '../../../src/cli/quantize/command.ts';
import { askedDevice } from '../../../src/cli/shared/device-choice.ts';
import { trainCommand } from '../../../src/cli/train/command.ts';
import { tuneKernelsCommand } from '../../../src/cli/tune-kernels/command.ts';
import { quietFlagNames, settingKeys } from '../../../src/config/index.ts';
import { ConfigError } from '../../../src/errors.ts';
import { nibble, type Outcome } from '../../cli/fakes.ts';
import { reader, require } from '../reader.ts';
import { anyValue, asText } from '../values.ts';
import { requireRepeatable } from './settings.ts';

const GOLDEN = new URL('../../golden/', import.meta.url).pathname;
const COMMANDS = [
  'train',
  'sft',
  'quantize',
  'estimate',
  'tune-kernels',
  'doctor',
  'config',
  'bench',
  'nothing',
  '--version',
];
const WORDS = [
  'run',
  'list',
  'report',
  'publish',
  'print',
  'schema',
  '-',
  '--',
  '--help',
  '-h',
  '',
  '.',
  '/',
  '/dev/null',
];
const FILES = [
  'faults/hostile/ctor.yaml',
  'faults/hostile/circular.yaml',
  'faults/model',
  'faults/model/config.json',
  'faults/rows.jsonl',
];
const OWN = [
  'output',
  'no-report',
  'as',
  'json',
  'profile',
  'print-config',
  'suite',
  'quick',
  'rounds',
  'minutes',
  'dry-run',
];

const text = anyValue.map((value) =>
  (typeof value === 'string' ? value : asText(value)).slice(0, 300).replaceAll('\0', ''),
);
const flag = fc
  .tuple(fc.constantFrom(...settingKeys, ...quietFlagNames(), ...OWN), fc.constantFrom('_', '-'), fc.nat(2), text)
  .map(([name, joint, how, value]) => {
    const flagged = `--${name.replaceAll('_', joint)}`;
    return how === 0 ? [flagged] : how === 1 ? [flagged, value] : [`${flagged}=${value}`];
  });
const word = fc.oneof(
  fc.constantFrom(...WORDS),
  fc.constantFrom(...FILES).map((file) => GOLDEN + file),
  text,
);
const argv = fc
  .tuple(
    fc.constantFrom(...COMMANDS),
    fc.array(fc.oneof({ weight: 1, arbitrary: word.map((w) => [w]) }, { weight: 3, arbitrary: flag }), {
      maxLength: 6,
    }),
    fc.boolean(),
  )
  .map(([command, rest, isWhole]) => [
    command,
    ...(isWhole ? ['--model_name_or_path', `${GOLDEN}faults/model`, '--datasets', 'rows.jsonl'] : []),
    ...rest.flat(),
  ]);
const env = fc.dictionary(
  fc.oneof(
    fc.constantFrom('NIBBLE_DEVICE', 'NIBBLE_ADAPTER', 'NIBBLE_', 'NO_COLOR', 'XDG_CACHE_HOME', 'HOME'),
    fc.constantFrom(...settingKeys).map((key) => `NIBBLE_${key.toUpperCase()}`),
  ),
  text,
  { maxKeys: 3 },
);

/** What was said before the help that follows it. */
/** On standard error; or, with --json, in the last of the JSON lines. */
function complaintOf({ stdout, stderr }: Outcome): string {
  if (stderr !== '') return stderr.split('\n\nUsage:')[0] ?? '';
  const last = stdout.trimEnd().split('\n').at(-1) ?? '';
  if (!last.startsWith('{"time":')) return '';
  const { type, message } = JSON.parse(last) as { type: string; message?: string };
  return type === 'error' ? (message ?? '') : '';
}

/** Commands whose work is only to look at what they understood. */
const makers: readonly CommandMaker[] = [
  (c) => trainCommand(c, async ({ config }, context) => void [requireRepeatable(config), askedDevice(context)]),
  (c) =>
    quantizeCommand(c, async ({ config }) => {
      require(Number.isSafeInteger(config.maxShardBytes) && config.maxShardBytes >= 1, 'a shard of no bytes');
    }),
  (c) =>
    benchCommand(c, {
      run: async ({ suite }) => require(suite.cases.length > 0, 'a suite without arms'),
      list: async () => undefined,
      report: async ({ folders }) => require(folders.length > 0, 'a report of no folder'),
      merge: async ({ folders }) => require(folders.length > 0, 'a merge of no folder'),
      publish: async () => undefined,
    }),
  (c) =>
    estimateCommand(
      c,
      async ({ modelConfig }) => require(modelConfig.text !== '', 'an empty config.json'),
      async ({ config }) => require(config.batch_size >= 1, 'a batch of none'),
    ),
  (c) =>
    tuneKernelsCommand(c, async ({ rounds, minutes }) => {
      require(Number.isSafeInteger(rounds) && rounds >= 1, `${rounds} rounds`);
      require(minutes === null || (Number.isFinite(minutes) && minutes > 0), `${minutes} minutes`);
    }),
  (c) => doctorCommand(c, async () => undefined),
  configCommand,
];

export const commandReader = reader<{ argv: string[]; env: Record<string, string> }>({
  name: 'command line and environment',
  share: 12,
  inputs: fc.record({ argv, env }),
  read: async (input) => {
    const outcome = await nibble(input.argv, makers, { env: input.env });
    const { code, stdout, stderr } = outcome;
    require(code === 0 || code === 2, `exit code ${code}: ${stderr}`);
    const complaint = complaintOf(outcome);
    require(code === 0 || complaint !== '', 'a refusal without a word');
    require(stdout.length + stderr.length < 50_000, `${stdout.length + stderr.length} characters printed`);
    if (code === 2) throw new ConfigError([{ path: '', message: complaint }]);
  },
});
