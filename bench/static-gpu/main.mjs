#!/usr/bin/env node
/** npm run static-gpu: compiles every pipeline of a QLoRA step with the compilers of real GPUs, without a GPU. See docs/static-gpu.md. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { behind, budgetOf, readBudget, writeBudget } from './budget.mjs';
import { chipNamed } from './chips.mjs';
import { comparison, modelComparison, readResult, resultText } from './compare.mjs';
import { compileOn } from './compile.mjs';
import { decodeOptions } from './decode-plan.mjs';
import { exitCodeOf } from './from-nibble.mjs';
import { installed } from './install.mjs';
import { HELP, readOptions } from './options.mjs';
import { writePage } from './page.mjs';
import { resultOf, rounded } from './rows.mjs';
import { kernelTable, stepTable, tokenTable } from './table.mjs';

/**
 * @import { Result } from './types.d.ts'
 * @typedef {ReturnType<typeof readOptions>} Options
 * @typedef {import('./rows.mjs').ChipResult & { device: string }} Found
 */

const started = performance.now();
/** Progress, beside the result. @param {string} line */
const tell = (line) => console.error(`static-gpu: ${line}`);

/** The Node of this process and of every worker takes a core each. */
const AT_ONCE = Math.max(1, Math.min(4, availableParallelism()));

/** @param {Options} options @param {string} folder @returns {Promise<Map<string, Found>>} */
async function compileAll({ chips, models, shapes, tiers, install, check, writeBudget: write }, folder) {
  const on = await installed(install, tell);
  const checkpointings = check || write ? [true] : [true, false];
  const steps = models.flatMap((model) =>
    shapes.flatMap((shape) => checkpointings.map((checkpointing) => ({ model, ...shape, checkpointing }))),
  );
  const decodes = tiers.includes('simt') ? decodeOptions(models) : [];
  const open = [...chips];
  /** @type {Map<string, Found>} */
  const found = new Map();
  const work = async () => {
    for (let chip = open.shift(); chip !== undefined; chip = open.shift()) {
      const own = path.join(folder, chip.replace(':', '-'));
      const compiled = await compileOn({ on, chip, folder: own, job: { steps, tiers, decodes }, tell });
      found.set(chip, { ...resultOf(own, compiled, chipNamed(chip)), device: compiled.device });
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, work));
  return new Map(chips.map((chip) => [chip, /** @type {Found} */ (found.get(chip))]));
}

/** Milliseconds of the first model and shape that were asked for, in the tier that GPUs with matrices take. @param {Map<string, Found>} found @param {Options} options */
function paperModel(found, { models: [model], shapes: [shape] }) {
  const ms = (/** @type {string} */ chip, /** @type {boolean} */ checkpointing) => {
    const one = found
      .get(chip)
      ?.steps.find(
        ({ plan }) =>
          plan.tier === 'subgroup_matrix' &&
          plan.model === model &&
          plan.batch === shape?.batch &&
          plan.sequence === shape.sequence &&
          plan.checkpointing === checkpointing,
      );
    return one === undefined ? null : rounded(one.step.ms);
  };
  return {
    h200_ms: ms('nv:180', true),
    h200_no_checkpointing_ms: ms('nv:180', false),
    rx7900xtx_ms: ms('amd:navi31', true),
  };
}

/** @param {Map<string, Found>} found @returns {number} exit code */
function checkAll(found) {
  const budget = readBudget();
  const problems = [...found].flatMap(([chip, { rows, steps, tokens }]) => {
    const own = budget[chip];
    return own === undefined
      ? [`${chip}: the budget does not know this chip`]
      : behind(chip, own, budgetOf(rows, steps, tokens));
  });
  const seconds = `${Math.round((performance.now() - started) / 1e3)} s`;
  for (const problem of problems) console.log(problem);
  const counted = [...found].map(([chip, { rows }]) => `${chip} ${rows.length}`).join(', ');
  if (problems.length === 0) console.log(`static-gpu: within the budget: ${counted} pipelines (${seconds})`);
  else
    console.log(
      `static-gpu: ${problems.length} behind the budget (${seconds}). Where it is meant: npm run static-gpu -- --write-budget`,
    );
  return problems.length === 0 ? 0 : 1;
}

/** @param {Map<string, Found>} found @param {Options} options @returns {number} exit code */
function tellAll(found, options) {
  /** @type {Result} */
  const result = {
    chips: Object.fromEntries([...found].map(([chip, { rows }]) => [chip, rows])),
    paper_model: paperModel(found, options),
  };
  if (options.json !== undefined) writeFileSync(options.json, resultText(result));
  if (options.writeBudget)
    writeBudget(
      Object.fromEntries([...found].map(([chip, { rows, steps, tokens }]) => [chip, budgetOf(rows, steps, tokens)])),
    );
  if (options.writePage)
    writePage(Object.fromEntries([...found].map(([chip, { steps, tokens }]) => [chip, { steps, tokens }])));
  if (options.check) return checkAll(found);
  const before = options.before === undefined ? null : readResult(options.before);
  for (const [chip, { device, rows, steps, tokens }] of found) {
    console.log(
      `\n${kernelTable(chip, chipNamed(chip), device, rows)}\n\n${stepTable(steps)}${tokens.length === 0 ? '' : `\n\n${tokenTable(tokens)}`}`,
    );
    if (before !== null) console.log(`\n${comparison(chip, before.chips[chip] ?? [], rows)}`);
  }
  if (before !== null)
    console.log(`\nmodelled step, ms, before -> after\n${modelComparison(before.paper_model, result.paper_model)}`);
  return 0;
}

async function main() {
  const options = readOptions(process.argv.slice(2));
  if (options.help) {
    console.log(HELP);
    return 0;
  }
  if (options.before !== undefined) readResult(options.before);
  const folder =
    options.keep === undefined ? mkdtempSync(path.join(tmpdir(), 'static-gpu-')) : path.resolve(options.keep);
  try {
    return tellAll(await compileAll(options, folder), options);
  } finally {
    if (options.keep === undefined) rmSync(folder, { recursive: true, force: true });
  }
}

try {
  process.exitCode = await main();
} catch (error) {
  process.exitCode = exitCodeOf(error);
  const { message, stack } = /** @type {Error} */ (error);
  console.error(process.exitCode === 2 ? message : stack);
}
