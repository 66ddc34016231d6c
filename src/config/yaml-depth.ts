/** Finds YAML that nests too deep, before its parser recurses into it. */
import { type CST, LineCounter, Parser } from 'yaml';
import { MOST_LEVELS } from './depth.ts';

type Nested = { readonly token: CST.Token; readonly depth: number };

/** Says where lists and mappings nest more than MOST_LEVELS deep; null where they do not. The syntax is read without recursion. */
export function depthProblem(path: string, text: string): string | null {
  const lines = new LineCounter();
  for (const token of new Parser(lines.addNewLine).parse(text)) {
    const open: Nested[] = [{ token, depth: 0 }];
    for (let at = open.pop(); at !== undefined; at = open.pop()) {
      if (at.depth > MOST_LEVELS) {
        const { line } = lines.linePos(at.token.offset);
        return `lists and mappings nest more than ${MOST_LEVELS} deep; is it the right file? (${path}:${line})`;
      }
      const depth = at.depth + 1;
      for (const inner of tokensIn(at.token)) open.push({ token: inner, depth });
    }
  }
  return null;
}

function tokensIn(token: CST.Token): CST.Token[] {
  if (token.type === 'document') return token.value === undefined ? [] : [token.value];
  if (!('items' in token)) return [];
  return token.items.flatMap(({ key, value }) => [key, value].filter((part): part is CST.Token => part != null));
}
