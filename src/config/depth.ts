/** How deep files may nest, so that nothing that walks their values runs out of stack. */

/** Far beyond what any format nests: tokenizer.json has about ten levels. */
export const MOST_LEVELS = 64;

/** Whether lists and mappings lie in one another more than MOST_LEVELS deep; one that holds itself does. */
export function isTooDeep(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  let level: object[] = [value];
  for (let depth = 1; level.length > 0; depth++) {
    if (depth > MOST_LEVELS) return true;
    // what several places share is looked at once a level, so that shared values stay as cheap as they are large
    const below = new Set<object>();
    for (const container of level)
      for (const entry of Array.isArray(container) ? container : Object.values(container))
        if (typeof entry === 'object' && entry !== null) below.add(entry);
    level = [...below];
  }
  return false;
}
