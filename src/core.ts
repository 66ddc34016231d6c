/**
 * nibble-tune/core: the part that needs neither Node nor a GPU, for bundlers that target browsers and edge runtimes.
 */

export {
  ADAPTER_CONFIG_FILE,
  formatLoraConfig,
  LORA_DEFAULTS,
  type LoraConfig,
  parseLoraConfig,
  readLoraConfig,
} from './adapters/config.ts';
export {
  type ConfigSources,
  configJsonSchema,
  loadSuite,
  loadTrainConfig,
  printConfig,
  type ResolvedConfig,
  type ResolvedSuite,
  type SourceFile,
  settleComputeDtype,
  suiteJsonSchema,
  type TrainConfig,
  type TrainSettings,
} from './config/index.ts';
export { ConfigError, type ConfigProblem, DataError, DeviceError, KernelCallError } from './errors.ts';
export { cardNamed } from './estimate/card-names.ts';
export { CARD_SIZES, CARDS, type Card, cardOfSize } from './estimate/cards.ts';
export { chooseMethod } from './estimate/choice.ts';
export type { Choice, ChoiceFigures, ChoiceJob, MethodFigures, Rule } from './estimate/choice-types.ts';
export { estimateGuide, type GuideJob } from './estimate/guide.ts';
export type { CardFigures, CardMethod, Guide, MethodRemedies } from './estimate/guide-types.ts';
export { type EstimateJob, estimateMethods } from './estimate/methods.ts';
export { estimateModel } from './estimate/model.ts';
export { REFERENCE_MODELS, referenceModel } from './estimate/reference-models.ts';
export type { MeasuredRatio } from './estimate/time-ratios.ts';
export type {
  Estimate,
  EstimatedMethod,
  EstimateResult,
  MethodEstimate,
  QloraRecipe,
  QuantizedFigures,
  QuantizedLinears,
} from './estimate/types.ts';
export { USUAL } from './estimate/usual.ts';
export {
  openCheckpoint,
  openSafetensors,
  readFloats,
  type StoredTensor,
  type TensorSource,
} from './formats/checkpoint.ts';
export { type ModelConfig, parseModelConfig, readModelConfig } from './formats/hf-config.ts';
export { memoryReader, memoryWriter } from './formats/memory.ts';
export type { FileReader, FileWriter } from './formats/reader.ts';
export { readSafetensorsHeader, type SafetensorsHeader, type TensorInfo } from './formats/safetensors.ts';
export { type TensorToWrite, writeSafetensors } from './formats/safetensors-write.ts';
export { type DeviceProfile, KNOWN_PROFILES } from './gpu/device-profile.ts';
export { ShaderLibrary } from './gpu/kernel.ts';
export { loadShaders, type ShaderAssets } from './gpu/shader-assets.ts';
export * from './results/index.ts';
export { dequantize4bit, narrow, type Quantized, quantize4bit, widen } from './wasm/buffers.ts';
export { Codec, compileWasm, type WasmModule } from './wasm/codec.ts';
export { createQuantizer } from './wasm/quantizer.ts';
export { DYNAMIC_CODE, FP4_CODE, INT4_CODE, NF4_CODE } from './wasm/tables.ts';
export type { QuantizeArgs, Quantizer, QuantSpec, QuantState, QuantType, SourceDtype } from './wasm/types.ts';
