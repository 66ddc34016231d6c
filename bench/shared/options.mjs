/** Arguments of the workshop's scripts: `--help` with exit code 0, and exit code 2 with a line that says what was wanted. */
import path from 'node:path';
import { parseArgs } from 'node:util';

/** @typedef {NonNullable<import('node:util').ParseArgsConfig['options']>} OptionTable */

/**
 * @template {OptionTable} const O
 * @param {string} usage what `--help` prints
 * @param {O} options as node:util's parseArgs takes them; `help` is added
 * @returns the values by name
 */
export function readOptions(usage, options) {
  return parsed(usage, options, false).values;
}

/**
 * @template {OptionTable} const O
 * @param {string} usage
 * @param {O} options
 * @returns the values by name, and the arguments that belong to no option
 */
export function readArguments(usage, options) {
  return parsed(usage, options, true);
}

/**
 * @template {OptionTable} const O
 * @param {string} usage
 * @param {O} options
 * @param {boolean} allowPositionals
 */
function parsed(usage, options, allowPositionals) {
  if (process.argv.slice(2).some((argument) => argument === '--help' || argument === '-h')) {
    console.log(usage);
    process.exit(0);
  }
  try {
    return parseArgs({ options, allowPositionals });
  } catch (error) {
    return refuse(`${messageOf(error)}\n${usage}`);
  }
}

/**
 * Ends the process: its caller has to change something.
 * @param {string} message what was given and what is wanted
 * @returns {never}
 */
export function refuse(message) {
  console.error(`${path.basename(process.argv[1] ?? '')}: ${message}`);
  process.exit(2);
}

/** @param {unknown} error */
export const messageOf = (error) => (error instanceof Error ? error.message : String(error));

/**
 * @param {string} name of the option
 * @param {string} text as it was given
 * @param {number} [least]
 * @returns {number} a whole number
 */
export function count(name, text, least = 1) {
  const value = Number(text);
  if (text.trim() === '' || !Number.isSafeInteger(value) || value < least)
    refuse(`--${name}: got ${text}, wanted a whole number of at least ${least}`);
  return value;
}

/**
 * @param {string} name of the option
 * @param {string} text shapes with commas between them
 * @param {string} form what each is made of, such as MxNxK
 * @returns {number[][]} the sizes of each
 */
export function shapes(name, text, form) {
  const rank = form.split('x').length;
  return text.split(',').map((shape) => {
    const sizes = shape.split('x').map(Number);
    if (sizes.length !== rank || !sizes.every((n) => Number.isSafeInteger(n) && n > 0))
      refuse(`--${name}: got ${shape}, wanted ${form} in whole numbers`);
    return sizes;
  });
}

/**
 * @template {string} W
 * @param {string} name of the option
 * @param {string} text words with commas between them
 * @param {readonly W[]} known
 * @returns {W[]}
 */
export function words(name, text, known) {
  return text.split(',').map((word) => {
    const found = known.find((each) => each === word);
    return found ?? refuse(`--${name}: got ${word}, wanted some of ${known.join(', ')}`);
  });
}

/**
 * @param {{ before?: string | undefined, after?: string | undefined }} values
 * @returns two checkouts, both of them built
 */
export function checkouts({ before, after }) {
  if (before === undefined || after === undefined)
    return refuse('wanted --before DIR and --after DIR: two checkouts of this repository, both built');
  return { before: path.resolve(before), after: path.resolve(after) };
}
