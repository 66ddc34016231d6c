#!/usr/bin/env node
/**
 * Runs on a null device, in a process of its own. Plans the steps of a job and compiles every pipeline of theirs; the statistics
 * layer writes what the compiler says beside the job, and compiled.json says whose it is.
 */
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { readArguments, refuse } from '../shared/options.mjs';
import { planDecode } from './decode-plan.mjs';
import { closeDevice, DeviceError, exitCodeOf, obstacle, openDevice } from './from-nibble.mjs';
import { numbersOf } from './numbers.mjs';
import { planStep } from './step-plan.mjs';

/**
 * @import { Compiled, DecodePlan, Output, PipelineSpec, StepPlan, Tier } from './types.d.ts'
 * @typedef {import('./step-plan.mjs').StepOptions} StepOptions
 * @typedef {import('./decode-plan.mjs').DecodeOptions} DecodeOptions
 * @typedef {{ steps: readonly Omit<StepOptions, 'tier'>[], tiers: readonly Tier[], decodes: readonly DecodeOptions[] }} Job
 * @typedef {import('#dist/gpu/device.js').Device} Device
 */

const USAGE = 'usage: node bench/static-gpu/worker.mjs JOB.json';
const [given] = readArguments(USAGE, {}).positionals;
const file = given ?? refuse(`wanted a job\n${USAGE}`);

/** What attention does where the maximum of a row has grown: in few rounds, so that a round's rate is that without it. */
const RARE = 'if (workgroupUniformLoad(&growing) != 0u) {';
const NEVER = '_ = workgroupUniformLoad(&growing); if (false) {';

/** @param {Job} job @param {Device} device @returns {Promise<StepPlan[]>} */
async function planAll({ steps, tiers }, device) {
  const plans = [];
  for (const tier of tiers) {
    if (obstacle(device.profile, tier) !== null) continue;
    for (const step of steps) plans.push(await planWithin({ ...step, tier }, device));
  }
  return plans;
}

/** Plans a step, with fewer sequences where the device's limits do not take as many. @param {StepOptions} step @param {Device} device @returns {Promise<StepPlan>} */
async function planWithin(step, device) {
  const { profile, shaders } = device;
  try {
    return await planStep(step, profile, shaders);
  } catch (error) {
    const batch = Math.floor(step.batch / 2);
    if (!(error instanceof DeviceError) || batch < 1) throw error;
    const asked = `${step.model} ${step.batch}x${step.sequence}`;
    process.send?.({ notice: `${asked} does not fit, so ${batch}x${step.sequence} is taken: ${error.message}` });
    return planWithin({ ...step, batch }, device);
  }
}

/** Plans a token likewise. @param {DecodeOptions} options @param {Device} device @returns {Promise<DecodePlan>} */
async function decodeWithin(options, device) {
  try {
    return await planDecode(options, device.profile, device.shaders);
  } catch (error) {
    const batch = Math.floor(options.batch / 2);
    if (!(error instanceof DeviceError) || batch < 1) throw error;
    process.send?.({
      notice: `decoding ${options.batch} sequences does not fit, so ${batch} are taken: ${error.message}`,
    });
    return decodeWithin({ ...options, batch }, device);
  }
}

/** Compiles text that no kernel of nibble has: a round without what is rare. @param {Device} device @param {string} code */
async function compileText(device, code) {
  const module = device.gpu.createShaderModule({ code });
  await device.guarded('compiling a turn', () =>
    device.gpu.createComputePipelineAsync({ layout: 'auto', compute: { module, entryPoint: 'main' } }),
  );
}

/** @param {Device} device @param {PipelineSpec} spec @param {string} tag @returns {Promise<Output>} */
async function compile(device, { kernel: name, when, constants }, tag) {
  const spec = { name, when, constants };
  process.env.STATISTICS_TAG = tag;
  await device.guarded(`compiling ${name}`, () => device.pipeline(device.shaders.interfaceOf(spec)));
  const { code } = await device.shaders.link(spec);
  const usual = code.includes(RARE) ? `${tag}.usual` : null;
  if (usual !== null) {
    process.env.STATISTICS_TAG = usual;
    await compileText(device, code.replace(RARE, NEVER));
  }
  return { tag, usual, numbers: numbersOf(code, constants) };
}

async function main() {
  /** @type {Job} */
  const job = JSON.parse(readFileSync(file, 'utf8'));
  const device = await openDevice({ device: 'gpu', unchecked: true });
  const plans = await planAll(job, device);
  const decodes = [];
  for (const options of job.decodes) decodes.push(await decodeWithin(options, device));
  const specs = new Map([...plans, ...decodes].flatMap(({ pipelines }) => pipelines.map((spec) => [spec.key, spec])));
  /** @type {Record<string, Output>} */
  const outputs = {};
  let done = 0;
  for (const [key, spec] of specs) {
    outputs[key] = await compile(device, spec, `${spec.kernel}.${done++}`);
    process.send?.({ done, of: specs.size });
  }
  /** @type {Compiled} */
  const compiled = { device: device.profile.name, plans, decodes, outputs };
  writeFileSync(path.join(path.dirname(file), 'compiled.json'), JSON.stringify(compiled));
  await closeDevice(device);
}

try {
  await main();
} catch (error) {
  const code = exitCodeOf(error);
  const { message, stack } = /** @type {Error} */ (error);
  console.error(code === 2 ? message : stack);
  process.exitCode = code;
}
process.disconnect?.();
