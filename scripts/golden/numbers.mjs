/** By how much two versions of a golden file differ, in words: numbers are compared as numbers where the format is known. */

const FLOATS = {
  F32: (bytes, at) => bytes.readFloatLE(4 * at),
  BF16: (bytes, at) => bitsToFloat(bytes.readUInt16LE(2 * at) << 16),
  F16: (bytes, at) => halfToFloat(bytes.readUInt16LE(2 * at)),
};
const FLOAT_BYTES = { F32: 4, BF16: 2, F16: 2 };

/** @returns {string} what is different between two unequal files, `want` the committed one */
export function describeDifference(file, got, want) {
  try {
    if (file.endsWith('.json')) return jsonDifference(got, want);
    if (file.endsWith('.safetensors')) return safetensorsDifference(got, want);
    if (file.endsWith('.bin') && got.length === want.length) return floatDifference('F32', got, want);
  } catch (error) {
    return `cannot be compared as what its name says (${error.message}); ${byteDifference(got, want)}`;
  }
  return byteDifference(got, want);
}

function byteDifference(got, want) {
  const shorter = Math.min(got.length, want.length);
  let at = 0;
  while (at < shorter && got[at] === want[at]) at++;
  const size = got.length === want.length ? '' : `, ${got.length} bytes where ${want.length} are committed`;
  return `first differing byte ${at}${size}`;
}

function floatDifference(dtype, got, want) {
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
  return `${differing} of ${count} values, by at most ${(error / largest).toExponential(1)} of the largest`;
}

function safetensorsDifference(got, want) {
  const [a, b] = [readHeader(got), readHeader(want)];
  const names = [...new Set([...a.keys(), ...b.keys()])].sort();
  const shape = ({ dtype, shape }) => `${dtype} [${shape}]`;
  const parts = [];
  for (const name of names) {
    const [x, y] = [a.get(name), b.get(name)];
    if (x === undefined || y === undefined) parts.push(`${name} is ${x ? 'new' : 'missing'}`);
    else if (shape(x) !== shape(y)) parts.push(`${name} is ${shape(x)}, was ${shape(y)}`);
    else if (!x.bytes.equals(y.bytes)) parts.push(`${name}: ${tensorDifference(x, y)}`);
  }
  if (parts.length === 0) return 'only the header';
  const shown = parts.slice(0, 3).join('; ');
  return `${parts.length} of ${names.length} tensors: ${shown}${parts.length > 3 ? '; ...' : ''}`;
}

function tensorDifference({ dtype, bytes }, want) {
  if (dtype in FLOATS) return floatDifference(dtype, bytes, want.bytes);
  const differing = bytes.reduce((n, byte, i) => n + (byte === want.bytes[i] ? 0 : 1), 0);
  return `${differing} of ${bytes.length} bytes`;
}

function readHeader(file) {
  const start = 8 + Number(file.readBigUInt64LE(0));
  const header = JSON.parse(file.toString('utf8', 8, start));
  delete header.__metadata__;
  return new Map(
    Object.entries(header).map(
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
}

function jsonDifference(got, want) {
  const found = { numbers: 0, differing: 0, error: 0, other: [] };
  compareJson('', JSON.parse(got), JSON.parse(want), found);
  if (found.other.length > 0)
    return `${found.other.length} entries that are not numbers, the first at ${found.other[0]}`;
  if (found.differing === 0) return 'only spaces, or the order of keys';
  return `${found.differing} of ${found.numbers} numbers, by at most ${found.error.toExponential(1)} relative`;
}

function compareJson(place, got, want, found) {
  if (typeof got === 'number' && typeof want === 'number') {
    found.numbers++;
    if (got === want) return;
    found.differing++;
    found.error = Math.max(found.error, Math.abs(got - want) / Math.abs(want));
  } else if (isBranch(got) && isBranch(want) && Array.isArray(got) === Array.isArray(want)) {
    for (const key of new Set([...Object.keys(got), ...Object.keys(want)]))
      compareJson(`${place}/${key}`, got[key], want[key], found);
  } else if (got !== want) {
    found.other.push(place);
  }
}

const isBranch = (value) => typeof value === 'object' && value !== null;

const word = new DataView(new ArrayBuffer(4));

function bitsToFloat(bits) {
  word.setInt32(0, bits);
  return word.getFloat32(0);
}

function halfToFloat(bits) {
  const sign = bits & 0x8000 ? -1 : 1;
  const [exponent, mantissa] = [(bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return mantissa === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
  return exponent === 0 ? sign * mantissa * 2 ** -24 : sign * (1024 + mantissa) * 2 ** (exponent - 25);
}
