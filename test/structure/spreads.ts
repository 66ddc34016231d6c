/** Finds calls that spread a list into their arguments: above some 125,000 elements such a call throws a RangeError. */
import ts from 'typescript';

export type Spread = {
  readonly line: number;
  /** What is called, as it is written: `Math.max`, `list.push`. */
  readonly callee: string;
  /** What is spread, as it is written. */
  readonly spread: string;
};

/** Calls and `new` with `...list` among their arguments, and `f.apply(x, list)`. */
export function spreadsOf(file: string, text: string): Spread[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const found: Spread[] = [];
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node) || ts.isNewExpression(node)) found.push(...inCall(source, node));
    ts.forEachChild(node, visit);
  };
  visit(source);
  return found;
}

function inCall(source: ts.SourceFile, call: ts.CallExpression | ts.NewExpression): Spread[] {
  const { expression } = call;
  const line = source.getLineAndCharacterOfPosition(call.getStart(source)).line + 1;
  const callee = expression.getText(source).replaceAll(/\s+/g, '');
  const isApplied = ts.isPropertyAccessExpression(expression) && expression.name.text === 'apply';
  const applied = isApplied ? (call.arguments?.slice(1, 2) ?? []) : [];
  const spread = [...(call.arguments ?? [])].filter(ts.isSpreadElement).map((argument) => argument.expression);
  return [...spread, ...applied].map((list) => ({ line, callee, spread: list.getText(source) }));
}
