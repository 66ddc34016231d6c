/** The command line of the static budget. */
import { parseArgs } from 'node:util';
import { CHIP_NAMES, chipNamed } from './chips.mjs';
import { ConfigError } from './from-nibble.mjs';
import { MODEL_NAMES, modelName } from './models.mjs';

/** @import { Tier } from './types.d.ts' */

/** An NVIDIA and an AMD GPU with matrices, an Apple and a Qualcomm one without. */
export const DEFAULT_CHIPS = ['nv:180', 'amd:navi31', 'asahi:m1', 'adreno:740'];
/** The tiers that GPUs take; `direct` is that of software drivers. @type {readonly Tier[]} */
export const GPU_TIERS = ['subgroup_matrix', 'simt'];
/** @type {readonly Tier[]} */
const TIERS = [...GPU_TIERS, 'direct'];

export const HELP = `usage: npm run static-gpu -- [options]

What the compilers of real GPUs make of nibble's kernels, without a GPU, and the speed that follows from it. Modelled, not measured.

  --chips LIST      of ${CHIP_NAMES.join(', ')} (${DEFAULT_CHIPS.join(',')})
  --models LIST     whose QLoRA step is planned: ${MODEL_NAMES.join(', ')} (Llama-2-7B)
  --shapes LIST     sequences x tokens of a step, such as 4x1024,1x4096 (4x1024)
  --tiers LIST      of ${TIERS.join(', ')} (${GPU_TIERS.join(',')})
  --json FILE       writes the figures
  --before FILE     shows those of an earlier --json beside them
  --check           fails where a kernel is behind bench/static-gpu/budget.json
  --write-budget    writes that file from what is found
  --write-page      writes the table of docs/static-gpu.md from what is found
  --install FOLDER  where the compilers are unpacked (build/static-gpu, or NIBBLE_STATIC_GPU)
  --keep FOLDER     keeps what the compilers wrote, assembly and all
`;

/**
 * @param {readonly string[]} args
 * @throws ConfigError naming every problem
 */
export function readOptions(args) {
  const flag = /** @type {const} */ ({ type: 'boolean', default: false });
  const text = /** @type {const} */ ({ type: 'string' });
  const { values } = parsed(() =>
    parseArgs({
      args: [...args],
      options: {
        chips: text,
        models: text,
        shapes: text,
        tiers: text,
        json: text,
        before: text,
        install: text,
        keep: text,
        check: flag,
        'write-budget': flag,
        'write-page': flag,
        help: flag,
      },
    }),
  );
  const chips =
    list(values.chips) ?? (values['write-page'] ? ['nv:180', 'nv:192', 'amd:navi31', 'asahi:m1'] : DEFAULT_CHIPS);
  for (const chip of chips) chipNamed(chip);
  const budget = values.check || values['write-budget'];
  const { json, before, install, keep } = values;
  return {
    chips,
    // the attention kernels of head dims 128, 64 and 256
    models: (list(values.models) ?? (budget ? ['Llama-2-7B', 'SmolLM2-135M', 'Head-Dim-256'] : ['Llama-2-7B'])).map(
      modelName,
    ),
    shapes: (list(values.shapes) ?? (values['write-page'] ? ['4x1024', '1x4096'] : ['4x1024'])).map(shape),
    tiers: (list(values.tiers) ?? [...GPU_TIERS]).map(tier),
    json,
    before,
    install,
    keep,
    help: values.help,
    check: values.check,
    writeBudget: values['write-budget'],
    writePage: values['write-page'],
  };
}

/** @template T @param {() => T} parse @returns {T} */
function parsed(parse) {
  try {
    return parse();
  } catch (error) {
    throw new ConfigError([{ path: '', message: `${/** @type {Error} */ (error).message}\n${HELP}` }]);
  }
}

/** @param {string | undefined} value */
const list = (value) => value?.split(',').filter((part) => part !== '');

/** @param {string} text */
function shape(text) {
  const [, batch, sequence] = /^([1-9]\d*)x([1-9]\d*)$/.exec(text) ?? [];
  if (batch === undefined || sequence === undefined)
    throw new ConfigError([{ path: '--shapes', message: `${text} is not SEQUENCESxTOKENS, such as 4x1024` }]);
  return { batch: Number(batch), sequence: Number(sequence) };
}

/** @param {string} text @returns {Tier} */
function tier(text) {
  const found = TIERS.find((known) => known === text);
  if (found !== undefined) return found;
  throw new ConfigError([{ path: '--tiers', message: `${text} is not known: give some of ${TIERS.join(', ')}` }]);
}
