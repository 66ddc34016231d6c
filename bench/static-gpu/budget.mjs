/** bench/static-gpu/budget.json: what each kernel is known to cost. A better one passes, a worse one fails the check. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { DataError } from './from-nibble.mjs';
import { rounded } from './rows.mjs';
import { stepName, tokenName } from './table.mjs';

/**
 * @import { Row } from './types.d.ts'
 * @typedef {import('./rows.mjs').ModelledStep} ModelledStep
 * @typedef {import('./rows.mjs').ModelledToken} ModelledToken
 * @typedef {{ scratch_bytes?: number, spills?: number, tflops?: number }} Allowed
 * @typedef {{ kernels: Record<string, Allowed>, steps: Record<string, number> }} ChipBudget `steps` in milliseconds
 */

export const BUDGET_FILE = fileURLToPath(new URL('budget.json', import.meta.url));
/** How far behind the budget a rate or a step may fall. */
export const MAY_FALL_BEHIND = 0.05;

/** @param {Pick<Row, 'tier' | 'kernel' | 'variant'>} row */
const keyOf = ({ tier, kernel, variant }) => `${tier} ${kernel} ${variant}`.trimEnd();

/** What is worth a line: a rate, or memory that a kernel should not need. @param {readonly Row[]} rows @param {readonly ModelledStep[]} steps @param {readonly ModelledToken[]} [tokens] @returns {ChipBudget} */
export function budgetOf(rows, steps, tokens = []) {
  const kernels = Object.fromEntries(
    rows
      .filter((row) => row.tflops !== null || row.scratch_bytes > 0 || row.spills > 0)
      .map((row) => [
        keyOf(row),
        {
          ...(row.tflops === null ? {} : { tflops: row.tflops }),
          ...(row.scratch_bytes > 0 ? { scratch_bytes: row.scratch_bytes } : {}),
          ...(row.spills > 0 ? { spills: row.spills } : {}),
        },
      ]),
  );
  const known = steps.filter(({ plan }) => plan.checkpointing).map((one) => [stepName(one), rounded(one.step.ms)]);
  const decoded = tokens.map((one) => [tokenName(one), rounded(one.token.ms)]);
  return { kernels, steps: Object.fromEntries([...known, ...decoded]) };
}

/**
 * Where a chip is behind its budget, a line each.
 * @param {string} chip
 * @param {ChipBudget} budget
 * @param {ChipBudget} found
 * @returns {string[]}
 */
export function behind(chip, budget, found) {
  const problems = [];
  for (const [key, { scratch_bytes = 0, spills = 0, tflops }] of Object.entries(found.kernels)) {
    const allowed = budget.kernels[key];
    const { scratch_bytes: mayScratch = 0, spills: maySpill = 0 } = allowed ?? {};
    if (scratch_bytes > mayScratch)
      problems.push(`${chip} ${key}: ${scratch_bytes} bytes of scratch, the budget knows of ${mayScratch}`);
    if (spills > maySpill) problems.push(`${chip} ${key}: ${spills} spills, the budget knows of ${maySpill}`);
    const least = allowed === undefined ? slowestOf(budget, key) : allowed.tflops;
    if (tflops !== undefined && least !== undefined && tflops < least * (1 - MAY_FALL_BEHIND))
      problems.push(
        `${chip} ${key}: ${tflops} TFLOP/s, the budget has ${least}${allowed === undefined ? ' for the slowest variant of this kernel' : ''}`,
      );
  }
  for (const [name, ms] of Object.entries(found.steps)) {
    const most = budget.steps[name];
    if (most !== undefined && ms > most * (1 + MAY_FALL_BEHIND))
      problems.push(`${chip} ${name}: modelled as ${ms} ms, the budget has ${most}`);
  }
  return problems;
}

/** A variant that is new has to be as fast as the slowest of its kernel. @param {ChipBudget} budget @param {string} key */
function slowestOf(budget, key) {
  const kin = key.split(' ').slice(0, 2).join(' ');
  const rates = Object.entries(budget.kernels).flatMap(([other, { tflops }]) =>
    other.split(' ').slice(0, 2).join(' ') === kin && tflops !== undefined ? [tflops] : [],
  );
  return rates.length === 0 ? undefined : Math.min(...rates);
}

/** @returns {Record<string, ChipBudget>} @throws DataError where there is none */
export function readBudget() {
  try {
    return JSON.parse(readFileSync(BUDGET_FILE, 'utf8')).chips;
  } catch (error) {
    throw new DataError(
      BUDGET_FILE,
      `cannot be read: ${/** @type {Error} */ (error).message}. npm run static-gpu -- --write-budget makes it.`,
    );
  }
}

/** @param {Record<string, ChipBudget>} chips */
export const writeBudget = (chips) => writeFileSync(BUDGET_FILE, `${JSON.stringify({ chips }, null, 2)}\n`);
