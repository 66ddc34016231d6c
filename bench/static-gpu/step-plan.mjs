/** The QLoRA step of a model as counted dispatches, recorded against a device's profile: nothing is allocated or run. */
import { tmpdir } from 'node:os';
import { buildEngine, loadTrainConfig, modelLayout, parseModelConfig } from './from-nibble.mjs';
import { modelConfig } from './models.mjs';
import { dispatchesOf, pipelinesOf } from './recorded.mjs';

/** @import { StepPlan, Tier } from './types.d.ts' */

/** The run of docs/static-gpu.md: rank 16 on every linear layer, NF4 with double quantization, float16 products. */
const SETTINGS = {
  datasets: '[{"path":"builtin:random-tokens"}]',
  method: 'qlora',
  dtype: 'float16',
  compute_dtype: 'float16',
  lora_r: '16',
  lora_alpha: '16',
  lora_target_modules: 'all-linear',
  bnb_4bit_use_double_quant: 'true',
  max_steps: '8',
  learning_rate: '2e-4',
  lr_scheduler_type: 'constant',
};

/**
 * @typedef {{ model: string, batch: number, sequence: number, checkpointing: boolean, tier: Tier }} StepOptions
 * @typedef {import('#dist/gpu/device-profile.js').DeviceProfile} DeviceProfile
 * @typedef {import('#dist/gpu/kernel.js').ShaderLibrary} ShaderLibrary
 * @typedef {import('#dist/gpu/command.js').DispatchCommand} DispatchCommand
 */

/**
 * Records the micro-batch and the update of a step.
 * @param {StepOptions} options
 * @param {DeviceProfile} profile
 * @param {ShaderLibrary} shaders
 * @returns {Promise<StepPlan>}
 * @throws DeviceError for a tier that the device cannot do
 */
export async function planStep(options, profile, shaders) {
  const { model, batch, sequence, checkpointing, tier } = options;
  const folder = tmpdir();
  const flags = {
    ...SETTINGS,
    model_name_or_path: folder,
    output_dir: folder,
    max_length: String(sequence),
    per_device_train_batch_size: String(batch),
    gradient_checkpointing: String(checkpointing),
    matmul_tier: tier,
  };
  const { values: config } = loadTrainConfig({ flags }, 'estimate');
  const parsed = parseModelConfig(modelConfig(model), `${model}'s config.json`);
  const layout = await modelLayout({ config, model: parsed, source: null, adapter: null, maxPositions: sequence });
  // every shape is looked at, also one whose buffers this chip could not hold
  const limits = { ...profile.limits, maxBufferSize: Number.MAX_SAFE_INTEGER };
  const shapes = { train: [{ B: batch, S: sequence }], evaluation: [] };
  const { machine } = buildEngine({ device: null, profile: { ...profile, limits }, shaders }, layout, config, shapes);
  /** @type {DispatchCommand[]} */
  const commands = [];
  for (const recorded of machine.plans)
    for (const command of recorded.commands) if (command.kind === 'dispatch') commands.push(command);
  return { ...options, dispatches: dispatchesOf(commands), pipelines: pipelinesOf(commands) };
}
