/** What generation is asked to hold: models, adapters and lengths, and nothing of a GPU. */
import type { AdapterLayout } from '../adapters/layout.ts';
import type { ModelConfig } from '../formats/hf-config.ts';
import type { BaseStorage } from '../model/base-storage.ts';
import type { ComputeDtype } from '../model/weight.ts';

/** B sequences of S tokens each; every shape has a phase of its own. */
export type ScoreShape = { readonly B: number; readonly S: number };

/** A request as memory sees it. */
export type RequestLength = {
  /** Tokens of the prompt. */
  readonly prompt: number;
  /** Most tokens that are generated. */
  readonly maxNewTokens: number;
};

export type GenerationPlan = {
  readonly model: ModelConfig;
  readonly storage: BaseStorage;
  readonly adapters: readonly AdapterLayout[];
  readonly computeDtype: ComputeDtype;
  /** Most sequences that are under way at once. */
  readonly batchSize: number;
  /** None where texts are scored alone. */
  readonly requests: readonly RequestLength[];
  /** Most tokens that the cache holds; those of the largest requests together where absent. */
  readonly cacheTokens?: number | undefined;
  /** Whether log-probabilities of prompts may be asked for. */
  readonly scoresPrompts?: boolean | undefined;
  /** Shapes of batches that are scored; none where left out. */
  readonly scoreShapes?: readonly ScoreShape[];
};
