/** By how much two versions of a golden file differ: floats are compared as numbers where the format is known. */
import { messageOf } from '../shared/options.mjs';

/**
 * Differences up to these are the rounding of another CPU. `number`: of a number in JSON, and of logits by their largest;
 * `grad_norm`: of a number of that name; `tensor`: of a value in safetensors by the largest of its tensor, where 50 steps of Adam
 * magnify what single gradients near 0 were off. An AMD EPYC reached 2.9e-6, 2.1e-5 (DoRA) and 2.1e-5. The mildest of the bugs in
 * test/golden/README.md moves the loss by 4.3e-5, gradient norms by 8.7e-5, logits by 1e-4 and the worst tensor by 1e-3.
 */
export const ROUNDING = { number: 5e-6, grad_norm: 4e-5, tensor: 6e-5 };

/** Settings are exact, floats or not. */
const SETTINGS = /(^|[/\\])(config(-[^/\\]*)?|\w*_config|versions|settings|tokens|tokenizer)\.json$/;

/** @typedef {'F32' | 'BF16' | 'F16'} FloatType */
/** @typedef {{ words: string, error: number, isRounding: boolean }} Difference error: the largest, relative */
/** @typedef {{ dtype: string, shape: number[], bytes: Buffer }} Tensor */

/** @type {Record<FloatType, (bytes: Buffer, at: number) => number>} */
const FLOATS = {
  F32: (bytes, at) => bytes.readFloatLE(4 * at),
  BF16: (bytes, at) => bitsToFloat(bytes.readUInt16LE(2 * at) << 16),
  F16: (bytes, at) => halfToFloat(bytes.readUInt16LE(2 * at)),
};
const FLOAT_BYTES = { F32: 4, BF16: 2, F16: 2 };

/**
 * @param {string} file
 * @param {Buffer} got
 * @param {Buffer} want
 * @returns {{ words: string, isRounding: boolean }} what is different between two unequal files, `want` the committed one, and
 *   whether it is floats alone, by no more than ROUNDING
 */
export function difference(file, got, want) {
  const { words, isRounding } = compared(file, got, want);
  return { words, isRounding: isRounding && !SETTINGS.test(file) };
}

/** @param {string} file @param {Buffer} got @param {Buffer} want */
function compared(file, got, want) {
  try {
    if (file.endsWith('.json')) return jsonDifference(got, want);
    if (file.endsWith('.safetensors')) return safetensorsDifference(got, want);
    if (file.endsWith('.bin') && got.length === want.length) return floatDifference('F32', got, want, ROUNDING.number);
  } catch (error) {
    return other(`cannot be compared as what its name says (${messageOf(error)}); ${byteDifference(got, want)}`);
  }
  return other(byteDifference(got, want));
}

/** @param {string} words @returns {Difference} */
const other = (words) => ({ words, error: Number.POSITIVE_INFINITY, isRounding: false });

/** @param {Buffer} got @param {Buffer} want */
function byteDifference(got, want) {
  const shorter = Math.min(got.length, want.length);
  let at = 0;
  while (at < shorter && got[at] === want[at]) at++;
  const size = got.length === want.length ? '' : `, ${got.length} bytes where ${want.length} are committed`;
  return `first differing byte ${at}${size}`;
}

/**
 * @param {FloatType} dtype
 * @param {Buffer} got
 * @param {Buffer} want
 * @param {number} bound
 * @returns {Difference}
 */
function floatDifference(dtype, got, want, bound) {
  const read = FLOATS[dtype];
  const count = want.length / FLOAT_BYTES[dtype];
  let [differing, error, largest] = [0, 0, 0];
  for (let i = 0; i < count; i++) {
    const [a, b] = [read(got, i), read(want, i)];
    largest = Math.max(largest, Math.abs(b));
    if (Object.is(a, b)) continue;
    differing++;
    // a NaN on one side is further than any number
    error = Math.max(error, Number.isNaN(a - b) ? Number.POSITIVE_INFINITY : Math.abs(a - b));
  }
  const relative = error === 0 ? 0 : error / largest;
  return {
    words: `${differing} of ${count} values, by at most ${relative.toExponential(1)} of the largest`,
    error: relative,
    isRounding: relative <= bound,
  };
}

/** @param {Buffer} got @param {Buffer} want */
function safetensorsDifference(got, want) {
  const [a, b] = [readHeader(got), readHeader(want)];
  const names = [...new Set([...a.tensors.keys(), ...b.tensors.keys()])].sort();
  const shape = (/** @type {Tensor} */ { dtype, shape }) => `${dtype} [${shape}]`;
  /** @type {Difference[]} */
  const parts = [];
  for (const name of names) {
    const [x, y] = [a.tensors.get(name), b.tensors.get(name)];
    if (x === undefined || y === undefined) parts.push(other(`${name} is ${x ? 'new' : 'missing'}`));
    else if (shape(x) !== shape(y)) parts.push(other(`${name} is ${shape(x)}, was ${shape(y)}`));
    else if (!x.bytes.equals(y.bytes)) {
      const { words, ...rest } = tensorDifference(x, y);
      parts.push({ words: `${name}: ${words}`, ...rest });
    }
  }
  if (a.metadata !== b.metadata) parts.push(other('its metadata'));
  if (parts.length === 0) return other('only the header');
  parts.sort((x, y) => (x.error === y.error ? 0 : y.error - x.error));
  const shown = parts.slice(0, 3).map(({ words }) => words);
  return {
    words: `${parts.length} of ${names.length} tensors: ${shown.join('; ')}${parts.length > 3 ? '; ...' : ''}`,
    isRounding: parts.every((part) => part.isRounding),
  };
}

/** @param {Tensor} got @param {Tensor} want @returns {Difference} */
function tensorDifference({ dtype, bytes }, want) {
  if (isFloatType(dtype)) return floatDifference(dtype, bytes, want.bytes, ROUNDING.tensor);
  const differing = bytes.reduce((n, byte, i) => n + (byte === want.bytes[i] ? 0 : 1), 0);
  return other(`${differing} of ${bytes.length} bytes`);
}

/** @param {string} dtype @returns {dtype is FloatType} */
const isFloatType = (dtype) => dtype in FLOATS;

/** @param {Buffer} file of safetensors */
function readHeader(file) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start));
  const metadata = JSON.stringify(header.__metadata__);
  delete header.__metadata__;
  const tensors = new Map(
    /** @type {[string, { dtype: string, shape: number[], data_offsets: [number, number] }][]} */ (
      Object.entries(header)
    ).map(
      ([
        name,
        {
          dtype,
          shape,
          data_offsets: [from, to],
        },
      ]) => [name, { dtype, shape, bytes: file.subarray(start + from, start + to) }],
    ),
  );
  return { metadata, tensors };
}

/** @param {Buffer} got @param {Buffer} want */
function jsonDifference(got, want) {
  /** @type {Found} */
  const found = { numbers: 0, differing: 0, error: { number: 0, grad_norm: 0 }, other: [] };
  compareJson('', '', parseFloats(got), parseFloats(want), found);
  const { error } = found;
  if (found.other.length > 0)
    return other(`${found.other.length} entries that are not floats, the first at ${found.other[0]}`);
  if (found.differing === 0) return other('only spaces, or the order of keys');
  const figures = [
    ...(error.number > 0 ? [`at most ${error.number.toExponential(1)} relative`] : []),
    ...(error.grad_norm > 0 ? [`grad_norm at most ${error.grad_norm.toExponential(1)}`] : []),
  ];
  return {
    words: `${found.differing} of ${found.numbers} numbers, by ${figures.join(', ')}`,
    isRounding: error.number <= ROUNDING.number && error.grad_norm <= ROUNDING.grad_norm,
  };
}

const STRING_OR_NUMBER = /"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g;

/**
 * What Python printed as a float is a Float: 4.0 is one, 4 is a count.
 * @param {Buffer} bytes
 * @returns {unknown}
 */
function parseFloats(bytes) {
  const isFloat = (/** @type {string} */ token) => !token.startsWith('"') && /[.eE]/.test(token);
  const text = bytes.toString().replace(STRING_OR_NUMBER, (token) => (isFloat(token) ? `{"\\u0000":${token}}` : token));
  return JSON.parse(text, (_, value) => (isBranch(value) && '\0' in value ? new Float(Number(value['\0'])) : value));
}

class Float {
  /** @param {number} value */
  constructor(value) {
    this.value = value;
  }
}

/** @typedef {{ numbers: number, differing: number, error: { number: number, grad_norm: number }, other: string[] }} Found */

/**
 * @param {string} place
 * @param {string} key
 * @param {unknown} got
 * @param {unknown} want
 * @param {Found} found what it adds to
 */
function compareJson(place, key, got, want, found) {
  if (got instanceof Float && want instanceof Float) {
    found.numbers++;
    if (got.value === want.value) return;
    found.differing++;
    const kind = key === 'grad_norm' ? key : 'number';
    found.error[kind] = Math.max(found.error[kind], Math.abs(got.value - want.value) / Math.abs(want.value));
  } else if (isBranch(got) && isBranch(want) && got.constructor === want.constructor) {
    for (const inner of new Set([...Object.keys(got), ...Object.keys(want)]))
      compareJson(`${place}/${inner}`, Array.isArray(want) ? key : inner, got[inner], want[inner], found);
  } else if (got !== want) {
    found.other.push(place);
  }
}

/** @param {unknown} value @returns {value is Record<string, unknown>} an object or an array */
const isBranch = (value) => typeof value === 'object' && value !== null;

const word = new DataView(new ArrayBuffer(4));

/** @param {number} bits */
function bitsToFloat(bits) {
  word.setInt32(0, bits);
  return word.getFloat32(0);
}

/** @param {number} bits */
function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}
