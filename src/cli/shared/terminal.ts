/** What the terminal behind a stream can do. */

export type TerminalEnv = Readonly<Record<string, string | undefined>>;

/** Whether lines can be redrawn in place. */
export function canRedraw(stream: { readonly isTTY?: boolean | undefined }, env: TerminalEnv): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb';
}

/** Colours only where they can be seen and NO_COLOR is not set to anything. */
export function wantsColor(stream: { readonly isTTY?: boolean | undefined }, env: TerminalEnv): boolean {
  return canRedraw(stream, env) && !env.NO_COLOR;
}
