/**
 * The singular value decomposition of a product P Q of a tall and a wide matrix, in f64 and without the product: orthogonal bases of
 * both, then one-sided Jacobi rotations of the small matrix between them. For the weights of an adapter: rank r, tens at most.
 * Source: G. Golub, C. Van Loan, Matrix Computations, 5.2 and 8.6.
 */

/** Row-major, f64. */
export type Matrix = { readonly rows: number; readonly columns: number; readonly values: Float64Array<ArrayBuffer> };

/** U (rows, k) and V (k, columns) with orthonormal columns and rows, and k singular values, the largest first. */
export type ProductSvd = { readonly U: Matrix; readonly S: Float64Array; readonly V: Matrix };

/** Decomposes P Q, (rows, r) times (r, columns); k is r. Columns of U and rows of V whose singular value is 0 are zero. */
export function productSvd(P: Matrix, Q: Matrix): ProductSvd {
  const left = orthogonalized(P);
  const right = orthogonalized(transposedMatrix(Q));
  // P Q = left.basis (left.R right.R^T) right.basis^T
  const core = multiply(left.R, transposedMatrix(right.R));
  const { U, S, V } = jacobi(core);
  return { U: multiply(left.basis, U), S, V: transposedMatrix(multiply(right.basis, V)) };
}

export function matrix(rows: number, columns: number, values = new Float64Array(rows * columns)): Matrix {
  return { rows, columns, values };
}

export function transposedMatrix({ rows, columns, values }: Matrix): Matrix {
  const out = matrix(columns, rows);
  for (let i = 0; i < values.length; i++) out.values[(i % columns) * rows + Math.floor(i / columns)] = at(values, i);
  return out;
}

export function multiply(a: Matrix, b: Matrix): Matrix {
  const out = matrix(a.rows, b.columns);
  for (let i = 0; i < a.rows; i++)
    for (let k = 0; k < a.columns; k++) {
      const factor = at(a.values, i * a.columns + k);
      if (factor === 0) continue;
      for (let j = 0; j < b.columns; j++)
        out.values[i * b.columns + j] = at(out.values, i * b.columns + j) + factor * at(b.values, k * b.columns + j);
    }
  return out;
}

const at = (values: Float64Array, i: number): number => values[i] as number;

/** What is left of a column after it is projected out of the others, against its length before: below, it depends on them. */
const DEPENDENT = 1e-14;

/** A = basis R by Gram-Schmidt, twice over, which keeps the basis orthogonal to rounding. A column that depends on others gives a zero one. */
export function orthogonalized(A: Matrix): { readonly basis: Matrix; readonly R: Matrix } {
  const { columns } = A;
  const columnsOf = transposedMatrix(A).values;
  const R = matrix(columns, columns);
  const column = (j: number): Float64Array => columnsOf.subarray(j * A.rows, (j + 1) * A.rows);
  for (let j = 0; j < columns; j++) {
    const own = column(j);
    const before = norm(own);
    for (const _ of ['once', 'again'])
      for (let i = 0; i < j; i++) {
        const part = dot(column(i), own);
        R.values[i * columns + j] = at(R.values, i * columns + j) + part;
        addTo(own, column(i), -part);
      }
    const after = norm(own);
    const isNew = after > DEPENDENT * before;
    R.values[j * columns + j] = isNew ? after : 0;
    for (let i = 0; i < own.length; i++) own[i] = isNew ? at(own, i) / after : 0;
  }
  return { basis: transposedMatrix(matrix(columns, A.rows, columnsOf)), R };
}

const norm = (v: Float64Array): number => Math.sqrt(dot(v, v));

function dot(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += at(a, i) * at(b, i);
  return sum;
}

function addTo(into: Float64Array, other: Float64Array, factor: number): void {
  for (let i = 0; i < into.length; i++) into[i] = at(into, i) + factor * at(other, i);
}

/** Columns whose scalar product is below this of their lengths count as orthogonal. */
const ORTHOGONAL = 1e-15;
/** A singular value below this of the largest is rounding, and taken for 0. */
const NOTHING = 1e-15;
/** Ten suffice for matrices of this size; more means values that are not finite. */
const MOST_SWEEPS = 60;

/** A square matrix by rotations of its columns: A V = U S. */
function jacobi(A: Matrix): { readonly U: Matrix; readonly S: Float64Array; readonly V: Matrix } {
  const n = A.columns;
  const work = transposedMatrix(A).values;
  const turns = new Float64Array(n * n);
  for (let i = 0; i < n; i++) turns[i * n + i] = 1;
  const column = (of: Float64Array, j: number): Float64Array => of.subarray(j * n, (j + 1) * n);
  for (let sweep = 0, isDone = false; !isDone && sweep < MOST_SWEEPS; sweep++) {
    isDone = true;
    for (let p = 0; p < n; p++)
      for (let q = p + 1; q < n; q++) {
        const [a, b] = [column(work, p), column(work, q)];
        const [aa, bb, ab] = [dot(a, a), dot(b, b), dot(a, b)];
        if (Math.abs(ab) <= ORTHOGONAL * Math.sqrt(aa * bb)) continue;
        isDone = false;
        const zeta = (bb - aa) / (2 * ab);
        const t = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.sqrt(1 + zeta * zeta));
        const cosine = 1 / Math.sqrt(1 + t * t);
        rotate(a, b, cosine, cosine * t);
        rotate(column(turns, p), column(turns, q), cosine, cosine * t);
      }
  }
  const lengths = Array.from({ length: n }, (_, j) => norm(column(work, j)));
  const order = lengths.map((_, j) => j).sort((i, j) => (lengths[j] as number) - (lengths[i] as number));
  const [U, S, V] = [matrix(n, n), new Float64Array(n), matrix(n, n)];
  const least = NOTHING * lengths.reduce((most, length) => Math.max(most, length), 0);
  order.forEach((from, j) => {
    const length = lengths[from] as number;
    if (length <= least) return;
    S[j] = length;
    for (let i = 0; i < n; i++) {
      U.values[i * n + j] = at(column(work, from), i) / length;
      V.values[i * n + j] = at(column(turns, from), i);
    }
  });
  return { U, S, V };
}

function rotate(a: Float64Array, b: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [at(a, i), at(b, i)];
    a[i] = cosine * x - sine * y;
    b[i] = sine * x + cosine * y;
  }
}
