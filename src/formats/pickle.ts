/** Torch's pickles: which files are some, why they are refused, and what to do about one. */

/** The endings torch.save and older checkpoints go by. */
const ENDING = /\.(bin|pth?|ckpt|pkl)$/i;
/** What Trainer leaves beside a model: pickles too, but no weights. */
const TRAINER_STATE = /(^|[/\\])(training_args|optimizer|scheduler|scaler|rng_state[^/\\]*)\.[^/\\]*$/;

/** Whether a file's name is one that pickled weights have. */
export function isPickle(file: string): boolean {
  return ENDING.test(file) && !TRAINER_STATE.test(file);
}

/** Why a file of this name is not read for a model, to be said after it; null where it is no pickle. */
export function modelPickleRefusal(file: string): string | null {
  if (!isPickle(file)) return null;
  return (
    'is a pickle, which runs code when it is loaded and is refused. Load it with transformers where you trust it, and let ' +
    'save_pretrained(FOLDER) write it as safetensors.'
  );
}
