/** Names what GPU memory is held for. Every buffer has one category; the ledger and every report count by it. */
export const CATEGORIES = [
  'base_weights',
  'quant_state',
  'adapter',
  'gradients',
  'optimizer',
  'activations',
  'logits',
  'workspace',
  'kv_cache',
  'staging',
] as const;

export type Category = (typeof CATEGORIES)[number];

/** Bytes by category, and the bytes that only alignment adds in a row of their own. */
export type CategoryBytes = Record<Category | 'alignment', number>;

export function emptyCategoryBytes(): CategoryBytes {
  return Object.fromEntries([...CATEGORIES, 'alignment'].map((c) => [c, 0])) as CategoryBytes;
}

export function totalBytes(bytes: CategoryBytes): number {
  return Object.values(bytes).reduce((sum, b) => sum + b, 0);
}
