/** Torch's pickles: how they are recognized, why they are refused, and what to do about one. */

/** File endings of torch.save and of older checkpoints. */
const ENDING = /\.(bin|pth?|ckpt|pkl)$/i;
/** What Trainer leaves beside a model: pickles too, but no weights. */
const TRAINER_STATE = /(^|[/\\])(training_args|optimizer|scheduler|scaler|rng_state[^/\\]*)\.[^/\\]*$/;

/** Tells whether a file's name is one that pickled weights have. */
export function isPickle(file: string): boolean {
  return ENDING.test(file) && !TRAINER_STATE.test(file);
}

/** Says why a file of this name is not read for a model, as the end of a sentence; null where it is no pickle. */
export function modelPickleRefusal(file: string): string | null {
  if (!isPickle(file)) return null;
  return (
    'is a pickle, which runs code when it is loaded and is refused. Load it with transformers where you trust it, and let ' +
    'save_pretrained(FOLDER) write it as safetensors.'
  );
}
