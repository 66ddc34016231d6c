/** From what compiling left to the rows of the result and the modelled steps. */
import { readPipeline } from './assembly/read.mjs';
import { ASSUMED } from './chips.mjs';
import { rateOf, residentWorkgroups } from './rate.mjs';
import { modelStep } from './step-model.mjs';
import { multiplies, roundOf } from './work.mjs';

/** @import { Chip, Compiled, Dispatches, Output, Pipeline, PipelineSpec, Rate, Row, Step, StepPlan, Tier } from './types.d.ts' */

/**
 * @typedef {{ plan: StepPlan, step: Step }} ModelledStep
 * @typedef {{ rows: Row[], steps: ModelledStep[] }} ChipResult
 */

/**
 * @param {string} folder where the compiler's output lies
 * @param {Compiled} compiled
 * @param {Chip} chip
 * @returns {ChipResult}
 */
export function resultOf(folder, { plans, outputs }, chip) {
  const read = remembered((tag) => readPipeline(folder, tag, chip));
  /** @param {PipelineSpec} spec @param {Dispatches} dispatch @param {number} [few] */
  const rate = (spec, dispatch, few) => {
    const output = /** @type {Output} */ (outputs[spec.key]);
    const round = roundOf(spec, dispatch, output);
    return round === null
      ? null
      : rateOf(read(output.tag), output.usual === null ? null : read(output.usual), round, chip, ASSUMED, few);
  };
  /** @type {Map<string, Row>} */
  const rows = new Map();
  const steps = [];
  for (const plan of plans) {
    const specs = new Map(plan.pipelines.map((spec) => [spec.key, spec]));
    const firstOf = new Map([...plan.dispatches].reverse().map((dispatch) => [dispatch.key, dispatch]));
    const ratesOf = remembered((/** @type {string} */ id) => {
      const [key = '', most] = id.split('\n');
      const dispatch = firstOf.get(key);
      const spec = specs.get(key);
      return dispatch === undefined || spec === undefined
        ? null
        : rate(spec, dispatch, most === '' ? undefined : Number(most));
    });
    for (const spec of plan.pipelines) {
      const id = `${plan.tier}|${spec.key}`;
      const tag = /** @type {Output} */ (outputs[spec.key]).tag;
      if (!rows.has(id)) rows.set(id, rowOf(spec, plan.tier, read(tag), ratesOf(`${spec.key}\n`), chip));
    }
    if (plan.tier !== 'direct')
      steps.push({ plan, step: modelStep(plan, (key, most) => ratesOf(`${key}\n${most ?? ''}`), chip, ASSUMED) });
  }
  return { rows: [...rows.values()], steps };
}

/** Conditions and constants of a variant, in one word each. @param {PipelineSpec} spec */
export const variantOf = ({ when, constants }) =>
  [
    ...[...when].sort(),
    ...Object.entries(constants)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, value]) => `${name}=${value}`),
  ].join(' ');

/** @param {PipelineSpec} spec @param {Tier} tier @param {Pipeline} pipeline @param {Rate | null} rate @param {Chip} chip @returns {Row} */
function rowOf(spec, tier, pipeline, rate, chip) {
  const { statistics } = pipeline;
  const matrices = rate === null || rate.matrixInstructions === 0 ? null : rate.matrixInstructions;
  return {
    kernel: spec.kernel,
    variant: variantOf(spec),
    tier,
    registers: statistics.registers,
    scratch_bytes: statistics.scratchBytes,
    spills: statistics.spills,
    resident_workgroups: residentWorkgroups(pipeline, chip),
    matrix_instructions: matrices,
    instructions_per_matrix: rate !== null && matrices !== null ? rounded(rate.instructions / matrices) : null,
    copies_per_matrix: rate !== null && matrices !== null ? rounded(rate.copies / matrices) : null,
    round_clocks: rate === null ? null : rounded(rate.roundClocks),
    bound_by: rate !== null ? rate.boundBy : multiplies(spec) ? 'not modelled' : 'memory',
    tflops: rate === null ? null : rounded(rate.tflops),
    compiler_cycles: statistics.cycles,
  };
}

/** Two decimals. @param {number} value */
export const rounded = (value) => Math.round(100 * value) / 100;

/** @template T @param {(key: string) => T} make @returns {(key: string) => T} */
function remembered(make) {
  /** @type {Map<string, T>} */
  const known = new Map();
  return (key) => {
    const found = known.get(key);
    if (found !== undefined || known.has(key)) return /** @type {T} */ (found);
    const made = make(key);
    known.set(key, made);
    return made;
  };
}
