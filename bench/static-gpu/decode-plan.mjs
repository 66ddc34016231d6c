/** A token of each sequence of a batch as counted dispatches, recorded as nibble generate records it: nothing is allocated or run. */
import { baseStorage, buildGeneration, parseModelConfig } from './from-nibble.mjs';
import { modelConfig } from './models.mjs';
import { dispatchesOf, pipelinesOf } from './recorded.mjs';

/**
 * @import { DecodePlan } from './types.d.ts'
 * @typedef {{ model: string, batch: number, context: number, base: 'nf4' | 'bfloat16' }} DecodeOptions
 * @typedef {import('#dist/gpu/device-profile.js').DeviceProfile} DeviceProfile
 * @typedef {import('#dist/gpu/kernel.js').ShaderLibrary} ShaderLibrary
 */

/** What is looked at: one sequence and as many as a decode kernel takes, each at the end of this context. */
const CONTEXT = 2048;
const BATCHES = [1, 8];
/** @type {readonly DecodeOptions['base'][]} */
const BASES = ['nf4', 'bfloat16'];

/** @param {readonly string[]} models @returns {DecodeOptions[]} */
export const decodeOptions = (models) =>
  models.flatMap((model) =>
    BASES.flatMap((base) => BATCHES.map((batch) => ({ model, batch, context: CONTEXT, base }))),
  );

/**
 * Records the decode phase of generation, in float32 as it is by default, in the tier that products in float32 take.
 * @param {DecodeOptions} options
 * @param {DeviceProfile} profile
 * @param {ShaderLibrary} shaders
 * @returns {Promise<DecodePlan>}
 */
export async function planDecode(options, profile, shaders) {
  const { model: name, batch, context, base } = options;
  const model = parseModelConfig(modelConfig(name), `${name}'s config.json`);
  const settings = {
    dtype: /** @type {const} */ ('bfloat16'),
    load_in_4bit: base === 'nf4',
    bnb_4bit_quant_type: /** @type {const} */ ('nf4'),
    bnb_4bit_blocksize: 64,
    bnb_4bit_use_double_quant: true,
    llm_int8_skip_modules: null,
  };
  // every shape is looked at, also one whose buffers this chip could not hold
  const limits = { ...profile.limits, maxBufferSize: Number.MAX_SAFE_INTEGER };
  const request = { prompt: context / 2, maxNewTokens: context / 2 + 1 };
  const { machine } = buildGeneration(
    { device: null, profile: { ...profile, limits, tier: 'simt' }, shaders },
    {
      model,
      storage: await baseStorage(settings, model, null),
      adapters: [],
      computeDtype: 'f32',
      batchSize: batch,
      requests: Array.from({ length: batch }, () => request),
    },
  );
  const phase = machine.plans.find((plan) => plan.name === `decode(${batch})`);
  const commands = (phase?.commands ?? []).filter((command) => command.kind === 'dispatch');
  return { ...options, tier: 'simt', dispatches: dispatchesOf(commands), pipelines: pipelinesOf(commands) };
}
