/** From what compiling left to the rows of the result and the modelled steps. */
import { readPipeline } from './assembly/read.mjs';
import { ASSUMED } from './chips.mjs';
import { bytesPerSecond, modelDecode } from './decode-model.mjs';
import { rateOf, residentWorkgroups } from './rate.mjs';
import { modelStep } from './step-model.mjs';
import { multiplies, roundOf, streams } from './work.mjs';

/** @import { Chip, Compiled, DecodedToken, DecodePlan, Dispatches, Output, Pipeline, PipelineSpec, Rate, Row, Step, StepPlan, Tier } from './types.d.ts' */

/**
 * @typedef {{ plan: StepPlan, step: Step }} ModelledStep
 * @typedef {{ plan: DecodePlan, token: DecodedToken }} ModelledToken
 * @typedef {{ rows: Row[], steps: ModelledStep[], tokens: ModelledToken[] }} ChipResult
 */

/**
 * @param {string} folder where the compiler's output lies
 * @param {Compiled} compiled
 * @param {Chip} chip
 * @returns {ChipResult}
 */
export function resultOf(folder, { plans, decodes, outputs }, chip) {
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
  /** Rates of a plan's pipelines by key, and by the workgroups of a unit where a dispatch has few. @param {StepPlan | DecodePlan} plan */
  const ratesOf = (plan) => {
    const specs = new Map(plan.pipelines.map((spec) => [spec.key, spec]));
    const firstOf = new Map([...plan.dispatches].reverse().map((dispatch) => [dispatch.key, dispatch]));
    const known = remembered((/** @type {string} */ id) => {
      const [key = '', most] = id.split('\n');
      const dispatch = firstOf.get(key);
      const spec = specs.get(key);
      return dispatch === undefined || spec === undefined
        ? null
        : rate(spec, dispatch, most === '' ? undefined : Number(most));
    });
    const rateOfKey = (/** @type {string} */ key, /** @type {number | undefined} */ most) =>
      known(`${key}\n${most ?? ''}`);
    for (const spec of plan.pipelines) {
      const id = `${plan.tier}|${spec.key}`;
      const tag = /** @type {Output} */ (outputs[spec.key]).tag;
      if (!rows.has(id)) rows.set(id, rowOf(spec, plan.tier, read(tag), rateOfKey(spec.key, undefined), chip));
    }
    return rateOfKey;
  };
  const steps = plans.flatMap((plan) => {
    const rates = ratesOf(plan);
    return plan.tier === 'direct' ? [] : [{ plan, step: modelStep(plan, rates, chip, ASSUMED) }];
  });
  const tokens = decodes.map((plan) => ({ plan, token: modelDecode(plan, ratesOf(plan), chip, ASSUMED) }));
  return { rows: [...rows.values()], steps, tokens };
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
    gigabytes_per_second:
      rate === null || !streams(spec) ? null : Math.round(bytesPerSecond(rate, chip, ASSUMED) / 1e9),
    bytes_per_instruction:
      rate === null || !streams(spec) ? null : rounded(rate.roundBytes / pipeline.workgroupSize / rate.instructions),
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
