/** All that the static budget takes from nibble's inside: where a room moves, this file follows. */

export { loadTrainConfig } from '#dist/config/index.js';
export { ConfigError, DataError, DeviceError, exitCodeOf } from '#dist/errors.js';
export { REFERENCE_MODELS, referenceConfig } from '#dist/estimate/reference-models.js';
export { parseModelConfig } from '#dist/formats/hf-config.js';
export { buildGeneration } from '#dist/generate/build.js';
export { obstacle } from '#dist/gpu/tier.js';
export { baseStorage } from '#dist/model/base-storage.js';
export { closeDevice, openDevice } from '#dist/node/device.js';
export { buildEngine } from '#dist/train/build.js';
export { modelLayout } from '#dist/train/model-layout.js';
