/** Weight decay: which parameters it applies to. */

// Matched anywhere in the lower-cased name, as in Trainer. A "norm" must be a whole part of the name or its ending.
const NOT_DECAYED = /bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)/;

/**
 * Tells whether a parameter is decayed: all matrices, embeddings, lora_A, lora_B and DoRA's magnitudes are, biases and norms
 * are not.
 * Source: Trainer.get_decay_parameter_names of transformers (4.57 and 5.23 have the same patterns).
 */
export function isDecayed(parameterName: string): boolean {
  return !NOT_DECAYED.test(parameterName.toLowerCase());
}
