/** Places in WGSL where one operator, bound or constant can be another. */

/** @typedef {import('./sites.mjs').Site} Site */

/** @type {ReadonlyMap<string, string>} what each operator between two values becomes */
const OPERATORS = new Map([
  ['<', '<='],
  ['<=', '<'],
  ['>', '>='],
  ['>=', '>'],
  ['==', '!='],
  ['!=', '=='],
  ['&&', '||'],
  ['||', '&&'],
  ['+', '-'],
  ['-', '+'],
  ['*', '/'],
  ['/', '*'],
  ['%', '*'],
  ['+=', '-='],
  ['-=', '+='],
]);

/** @type {ReadonlyMap<string, string>} */
const WORDS = new Map([
  ['true', 'false'],
  ['false', 'true'],
  ['min', 'max'],
  ['max', 'min'],
]);

/** Comments, import lines, directives and attributes with their arguments: passed over. */
const OUTSIDE =
  /\/\/.*|\/\*[\s\S]*?\*\/|^\s*import [^;]*;|^\s*(?:enable|requires|diagnostic)\b[^;]*;|@\w+(?:\((?:[^()]|\([^()]*\))*\))?/gm;
const TOKEN =
  /(?<number>\b(?:0x[\da-f]+|\d+(?:\.\d*)?(?:e[+-]?\d+)?)[iufh]?\b\.?)|(?<word>[A-Za-z_]\w*)|(?<operator>&&|\|\||[<>=!+\-*/%&|^]=|<<|>>|->|[<>+\-*/%])|(?<other>\S)/gi;

/**
 * @param {string} file
 * @param {string} text of it
 * @returns {Site[]}
 */
export function wgslSites(file, text) {
  // as long as before, so that places stay places
  const code = text.replace(OUTSIDE, (passed) => passed.replace(/[^\n]/g, ' '));
  /** @type {Site[]} */
  const sites = [];
  let isAfterValue = false;
  for (const match of code.matchAll(TOKEN)) {
    const { number, word, operator, other } = match.groups ?? {};
    const start = match.index;
    const end = start + match[0].length;
    const to = replacement(code, start, end, { number, word, operator, isAfterValue });
    if (to !== undefined) sites.push({ file, start, end, to });
    isAfterValue = number !== undefined || word !== undefined || other === ')' || other === ']';
  }
  return [...sites, ...conditions(file, code)].sort((a, b) => a.start - b.start);
}

/**
 * @param {string} code
 * @param {number} start
 * @param {number} end
 * @param {{ number?: string | undefined, word?: string | undefined, operator?: string | undefined, isAfterValue: boolean }} token
 */
function replacement(code, start, end, { number, word, operator, isAfterValue }) {
  if (number !== undefined) return more(number);
  if (word !== undefined) return code[end] === '(' || /^(true|false)$/.test(word) ? WORDS.get(word) : undefined;
  // brackets of a type stand close to its name
  const isSpaced = /\s/.test(code[start - 1] ?? '') && /\s/.test(code[end] ?? '');
  return operator !== undefined && isAfterValue && isSpaced ? OPERATORS.get(operator) : undefined;
}

/** One more, of the same type. @param {string} number */
function more(number) {
  const [, digits = '', suffix = ''] = /^(0x[\da-f]+|[\d.]+(?:e[+-]?\d+)?)([iufh]?)$/i.exec(number) ?? [];
  if (digits === '') return undefined;
  const suffixOf = /^0x/i.test(digits) && /f$/i.test(number) ? '' : suffix;
  if (/^0x/i.test(digits)) return `0x${((Number(digits) + 1) >>> 0).toString(16)}${suffixOf}`;
  const isWhole = /^\d+$/.test(digits);
  return `${isWhole ? Number(digits) + 1 : shown(Number(digits) + 1)}${suffix}`;
}

/** @param {number} value */
const shown = (value) => (Number.isInteger(value) ? value.toFixed(1) : String(value));

/** @param {string} file @param {string} code */
function conditions(file, code) {
  /** @type {Site[]} */
  const sites = [];
  for (const match of code.matchAll(/\bif \(/g)) {
    const start = match.index + 'if '.length;
    const end = closing(code, start);
    sites.push({ file, start, end, to: `(!${code.slice(start, end)})` });
  }
  return sites;
}

/** @param {string} code @param {number} open @returns the place after the parenthesis that closes this one */
function closing(code, open) {
  let depth = 0;
  for (let i = open; i < code.length; i++) {
    if (code[i] === '(') depth++;
    if (code[i] === ')' && --depth === 0) return i + 1;
  }
  return code.length;
}
