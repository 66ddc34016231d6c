/** Places in TypeScript where one operator, bound or constant can be another. */
import path from 'node:path';
import ts from 'typescript';

/** @typedef {import('./sites.mjs').Site} Site */

const { SyntaxKind: Kind } = ts;

/** @type {ReadonlyMap<ts.SyntaxKind, string>} what each operator becomes */
const OPERATORS = new Map([
  [Kind.LessThanToken, '<='],
  [Kind.LessThanEqualsToken, '<'],
  [Kind.GreaterThanToken, '>='],
  [Kind.GreaterThanEqualsToken, '>'],
  [Kind.EqualsEqualsEqualsToken, '!=='],
  [Kind.ExclamationEqualsEqualsToken, '==='],
  [Kind.AmpersandAmpersandToken, '||'],
  [Kind.BarBarToken, '&&'],
  [Kind.PlusToken, '-'],
  [Kind.MinusToken, '+'],
  [Kind.AsteriskToken, '/'],
  [Kind.SlashToken, '*'],
  [Kind.PercentToken, '*'],
  [Kind.PlusEqualsToken, '-='],
  [Kind.MinusEqualsToken, '+='],
]);

/** @type {ReadonlyMap<string, string>} */
const CALLS = new Map([
  ['Math.min', 'Math.max'],
  ['Math.max', 'Math.min'],
  ['Math.floor', 'Math.ceil'],
  ['Math.ceil', 'Math.floor'],
]);

const NUMBERS = ts.TypeFlags.NumberLike | ts.TypeFlags.BigIntLike;

/**
 * @param {string} root of the checkout
 * @param {readonly string[]} files below it
 * @returns {Site[]} in the order of the files and of the text
 */
export function typescriptSites(root, files) {
  const { config } = ts.readConfigFile(path.join(root, 'tsconfig.json'), ts.sys.readFile);
  const { options } = ts.parseJsonConfigFileContent(config, ts.sys, root);
  const program = ts.createProgram(
    files.map((file) => path.join(root, file)),
    options,
  );
  const checker = program.getTypeChecker();
  return files.flatMap((file) => {
    const source = program.getSourceFile(path.join(root, file));
    return source === undefined ? [] : sitesOf(source, file, checker);
  });
}

/**
 * @param {ts.SourceFile} source
 * @param {string} file
 * @param {ts.TypeChecker} checker
 */
function sitesOf(source, file, checker) {
  /** @type {Site[]} */
  const sites = [];
  /** @param {ts.Node} node @param {string} to */
  const add = (node, to) => sites.push({ file, start: node.getStart(source), end: node.end, to });
  /** @param {ts.Node} node */
  const visit = (node) => {
    if (isOutside(node)) return;
    const to = replacement(node, checker);
    if (to !== undefined) add(to.node, to.text);
    ts.forEachChild(node, visit);
  };
  visit(source);
  return sites.sort((a, b) => a.start - b.start);
}

/** Types, imports and what only words an error: none of it changes what a run does. @param {ts.Node} node */
function isOutside(node) {
  if (ts.isTypeNode(node) || ts.isImportDeclaration(node) || ts.isExportDeclaration(node)) return true;
  if (ts.isInterfaceDeclaration(node) || ts.isTypeAliasDeclaration(node)) return true;
  return ts.isNewExpression(node) && /Error$/.test(node.expression.getText());
}

/**
 * @param {ts.Node} node
 * @param {ts.TypeChecker} checker
 * @returns {{ node: ts.Node, text: string } | undefined}
 */
function replacement(node, checker) {
  if (ts.isBinaryExpression(node)) {
    const text = OPERATORS.get(node.operatorToken.kind);
    return text === undefined || !isNumeric(node, checker) ? undefined : { node: node.operatorToken, text };
  }
  if (ts.isIfStatement(node)) return { node: node.expression, text: `!(${node.expression.getText()})` };
  if (ts.isConditionalExpression(node)) return { node: node.condition, text: `!(${node.condition.getText()})` };
  if (ts.isNumericLiteral(node)) return { node, text: next(node) };
  if (node.kind === Kind.TrueKeyword) return { node, text: 'false' };
  if (node.kind === Kind.FalseKeyword) return { node, text: 'true' };
  if (ts.isPropertyAccessExpression(node) && ts.isCallExpression(node.parent)) {
    const text = CALLS.get(node.getText());
    if (text !== undefined) return { node, text };
  }
  return undefined;
}

/** `+` and `+=` put strings together, too. @param {ts.BinaryExpression} node @param {ts.TypeChecker} checker */
function isNumeric({ operatorToken, left, right }, checker) {
  if (operatorToken.kind !== Kind.PlusToken && operatorToken.kind !== Kind.PlusEqualsToken) return true;
  return [left, right].every((side) => (checker.getTypeAtLocation(side).flags & NUMBERS) !== 0);
}

/** One more, in parentheses where a member is read of it. @param {ts.NumericLiteral} node */
function next(node) {
  const text = node.getText();
  if (ts.isPrefixUnaryExpression(node.parent)) return text === '0' ? '1' : `(${text} + 1)`;
  const isName = ts.isPropertyAssignment(node.parent) && node.parent.name === node;
  return isName ? String(Number(node.text) + 1) : `(${text} + 1)`;
}
