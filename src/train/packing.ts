/** How the settings of a run have its rows packed. */
import type { TrainConfig } from '../config/settings.ts';
import { keepsDocuments, type PackingStrategy } from '../data/pack.ts';
import type { ModelConfig } from '../formats/hf-config.ts';

type Packing = { readonly train: PackingStrategy | null; readonly evaluation: PackingStrategy | null };

type Settings = Pick<TrainConfig, 'packing' | 'packing_strategy' | 'eval_packing'>;

/** Packing strategy of each dataset; null where rows stay as they are. */
export function packingOf({ packing, packing_strategy, eval_packing }: Settings): Packing {
  const strategyIf = (packs: boolean) => (packs ? packing_strategy : null);
  return { train: strategyIf(packing), evaluation: strategyIf(eval_packing ?? packing) };
}

/** Whether the batches of each dataset say where the documents in a row begin and end. */
export function documentsOf(config: Settings): { readonly train: boolean; readonly evaluation: boolean } {
  const { train, evaluation } = packingOf(config);
  const keeps = (strategy: PackingStrategy | null) => strategy !== null && keepsDocuments(strategy);
  return { train: keeps(train), evaluation: keeps(evaluation) };
}

/**
 * Largest length of a row in tokens, padding included. The model's positions limit it unless documents are packed, each
 * with positions of its own.
 */
export function longestRow(
  config: Settings & Pick<TrainConfig, 'max_length'>,
  { max_position_embeddings }: ModelConfig,
): number {
  const length = config.max_length ?? max_position_embeddings;
  return documentsOf(config).train ? length : Math.min(max_position_embeddings, length);
}
