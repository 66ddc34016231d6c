/** All that the static budget takes from nibble's inside: where a room moves, this file follows. */

export { REFERENCE_MODELS, referenceConfig } from '../../dist/bench/reference-models.js';
export { loadTrainConfig } from '../../dist/config/index.js';
export { ConfigError, DataError, DeviceError, exitCodeOf } from '../../dist/errors.js';
export { parseModelConfig } from '../../dist/formats/hf-config.js';
export { DryAllocator } from '../../dist/gpu/allocator.js';
export { Ledger } from '../../dist/gpu/ledger.js';
export { closeDevice, openDevice } from '../../dist/gpu/node.js';
export { obstacle } from '../../dist/gpu/tier.js';
export { buildMemory } from '../../dist/train/build.js';
export { planModel } from '../../dist/train/model-plan.js';
