/** Reads the whole numbers of a linked shader's `const` lines: its tile, as the compiler sees it. */

const LINE = /^const (\w+)(?:\s*:\s*u32)? = ([^;]+);/gm;

/**
 * Values of the `const` lines that can be worked out, beside those that the host gave.
 * @param {string} code plain WGSL
 * @param {Readonly<Record<string, number>>} given
 * @returns {Record<string, number>}
 */
export function numbersOf(code, given) {
  const numbers = { ...given };
  for (const [, name = '', text = ''] of code.matchAll(LINE)) {
    const value = evaluate(text, numbers);
    if (value !== null) numbers[name] = value;
  }
  return numbers;
}

/**
 * A sum of products of whole numbers and names, as shaders write their tiles; null for anything else.
 * @param {string} text
 * @param {Readonly<Record<string, number>>} names
 * @returns {number | null}
 */
export function evaluate(text, names) {
  const tokens = text.match(/\d+u?|[A-Za-z_]\w*|[-+*/%()]/g) ?? [];
  if (tokens.join('') !== text.replace(/\s+/g, '')) return null;
  let at = 0;
  /** @returns {number} */
  const atom = () => {
    const token = tokens[at++] ?? '';
    if (token !== '(') return /^\d/.test(token) ? Number.parseInt(token, 10) : (names[token] ?? Number.NaN);
    const inside = sum();
    return tokens[at++] === ')' ? inside : Number.NaN;
  };
  /** Operands of these operators, from the left. @param {() => number} operand @param {string} operators */
  const chain = (operand, operators) => {
    let value = operand();
    for (let token = tokens[at]; token !== undefined && operators.includes(token); token = tokens[at]) {
      at++;
      const right = operand();
      if (token === '+') value += right;
      else if (token === '-') value -= right;
      else if (token === '*') value *= right;
      else value = token === '/' ? Math.trunc(value / right) : value % right;
    }
    return value;
  };
  /** @returns {number} */
  const product = () => chain(atom, '*/%');
  /** @returns {number} */
  const sum = () => chain(product, '+-');
  const value = sum();
  return at === tokens.length && Number.isFinite(value) ? value : null;
}
