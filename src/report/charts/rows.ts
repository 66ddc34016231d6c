/** How many rows a chart may have. */

/** Rows beyond which charts show arms instead of runs, and no chart at all where even those are more. */
export const MOST_RUN_ROWS = 40;
/** Curves beyond which nobody tells them apart. */
export const MOST_CURVES = 10;
