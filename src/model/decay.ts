/** Which parameters weight decay applies to. */

// As Trainer matches them, anywhere in the lower-cased name. A "norm" must be a whole part of the name or its ending.
const NOT_DECAYED = /bias|layernorm|rmsnorm|(?:^|[._])norm(?:$|\.)/;

/**
 * Biases and norms are left out; lora_A and lora_B, DoRA's magnitudes, embeddings and every matrix are not.
 * Source: Trainer.get_decay_parameter_names of transformers (4.57 and 5.23 have the same patterns).
 */
export function isDecayed(parameterName: string): boolean {
  return !NOT_DECAYED.test(parameterName.toLowerCase());
}
