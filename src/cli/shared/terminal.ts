/** Abilities of the terminal behind a stream. */

export type TerminalEnv = Readonly<Record<string, string | undefined>>;

/** Whether lines can be redrawn in place. */
export function canRedraw(stream: { readonly isTTY?: boolean | undefined }, env: TerminalEnv): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** Whether to colour: only on a terminal, and without NO_COLOR. */
export function wantsColor(stream: { readonly isTTY?: boolean | undefined }, env: TerminalEnv): boolean {
  return canRedraw(stream, env) && !env.NO_COLOR;
}
