/** The pictures of docs/performance.md, from the curves in the records. */

const MIB = 2 ** 20;
const GIB = 2 ** 30;
const F32_BYTES = 4;
const DASHES = { off: [1, 0], selective: [7, 4], full: [2, 3] };
const LABEL = { type: 'text', align: 'left', dx: 8, fontSize: 12 };
/** Pixels at the right for the names of the lines. */
const NAME_ROOM = 175;

/**
 * @param draw renderChart and standaloneSvg of src/report/charts/render.ts, and the colours of theme.ts
 * @returns pictures `{ file, title, description, svg, record }`
 */
export async function drawPictures(records, draw) {
  const pictures = [];
  for (const record of records) {
    const groups = new Map();
    for (const curve of record.curves ?? []) groups.set(curve.picture, [...(groups.get(curve.picture) ?? []), curve]);
    for (const [name, curves] of groups) {
      const chart = await (name === 'vocabulary' ? vocabulary(curves[0], draw) : sequence(name, curves, draw));
      const { title, description } = chart;
      pictures.push({ file: `memory-${name}.svg`, title, description, svg: draw.standaloneSvg(chart), record });
    }
  }
  return pictures;
}

const subject = ({ method, checkpointing }) => `${method}, checkpointing ${checkpointing}`;

function sequence(name, curves, { renderChart, armColor, INK, SURFACE }) {
  const model = name.slice('sequence-'.length);
  const largest = Math.max(...curves.flatMap(({ values }) => values.map(({ y }) => y)));
  const [unit, unitBytes] = largest >= GIB ? ['GiB', GIB] : ['MiB', MIB];
  const point = (curve, { x, y }) => ({ ...curve, x, y: y / unitBytes, line: subject(curve) });
  const values = curves.flatMap((curve) =>
    curve.values.map((at) => point({ method: curve.method, checkpointing: curve.checkpointing }, at)),
  );
  const runs = curves.flatMap((curve) =>
    curve.run === null ? [] : [point({ method: curve.method, checkpointing: curve.checkpointing }, curve.run)],
  );
  const ends = curves.map((curve) => values.filter(({ line }) => line === subject(curve)).at(-1));
  const methods = [...new Set(curves.map(({ method }) => method))];
  const last = ends[0].x;
  const x = {
    ...{
      field: 'x',
      type: 'quantitative',
      title: 'tokens of the sequence',
      axis: { grid: false, format: ',d', labelOverlap: false },
    },
    scale: { domain: [0, last * (1 + NAME_ROOM / 600)], nice: false },
  };
  x.axis.values = [512, 2048, 4096, 6144, 8192];
  const y = { field: 'y', type: 'quantitative', title: `peak memory, ${unit}`, scale: { zero: true, nice: true } };
  const colors = { domain: methods, range: methods.map((_, i) => armColor(i)) };
  const color = { field: 'method', type: 'nominal', scale: colors, legend: null };
  const dashes = { domain: Object.keys(DASHES), range: Object.values(DASHES) };
  const strokeDash = { field: 'checkpointing', type: 'nominal', scale: dashes, legend: null };
  const layer = [
    {
      data: { values },
      mark: { type: 'line', strokeWidth: 2.25 },
      encoding: { x, y, color, strokeDash, detail: { field: 'line' } },
    },
    {
      data: { values: spaced(ends) },
      mark: { ...LABEL, color: INK },
      encoding: { x, y: { ...y, field: 'labelY' }, text: { field: 'line' }, color },
    },
  ];
  if (runs.length > 0)
    layer.push({
      data: { values: runs },
      mark: { type: 'circle', size: 90, opacity: 1, stroke: SURFACE, strokeWidth: 1.5 },
      encoding: { x, y, color },
    });
  const from = (end) => values.find(({ line }) => line === end.line);
  const title = `Peak memory over sequence length, ${model === 'small' ? 'a small model; dots were run' : model}`;
  const description = ends
    .map((end) => `${end.line} from ${from(end).y.toFixed(1)} to ${end.y.toFixed(1)} ${unit}`)
    .join('; ');
  return renderChart({ name, title, description }, { height: 400, layer });
}

/** Names of lines that end close to each other move apart. */
function spaced(ends) {
  const least = Math.max(...ends.map(({ y }) => y)) * 0.045;
  let above = Number.POSITIVE_INFINITY;
  return ends
    .toSorted((a, b) => b.y - a.y)
    .map((end) => {
      above = Math.min(end.y, above - least);
      return { ...end, labelY: above };
    });
}

function vocabulary({ tokens, values, run }, { renderChart, armColor, INK, SURFACE }) {
  const lines = ['in chunks, as nibble does', 'all rows at once'];
  const data = values.flatMap(({ x, y }) => [
    { x, y: y / MIB, line: lines[0] },
    { x, y: (tokens * x * F32_BYTES) / MIB, line: lines[1] },
  ]);
  const ends = lines.map((line) => data.filter((value) => value.line === line).at(-1));
  const x = {
    ...{
      field: 'x',
      type: 'quantitative',
      title: 'entries of the vocabulary',
      axis: { grid: false, format: ',d', labelOverlap: false },
    },
    scale: { type: 'log', domain: [values[0].x, values.at(-1).x * 2.1], nice: false },
  };
  x.axis.values = [8192, 16384, 32768, 65536, 131072, 262144];
  const scale = { type: 'log', domain: [16, 4096], nice: false };
  const y = { field: 'y', type: 'quantitative', title: 'logits, MiB (log scale)', scale };
  y.axis = { values: [16, 64, 256, 1024, 4096] };
  const color = {
    field: 'line',
    type: 'nominal',
    scale: { domain: lines, range: [armColor(0), armColor(2)] },
    legend: null,
  };
  const dot = { x: run.x, y: run.y / MIB, line: lines[0] };
  const title = `Logits of a loss over ${tokens.toLocaleString('en-US')} tokens, by vocabulary; the dot was run`;
  const description = ends
    .map(({ line, y: end }) => `${line} ${data.find((d) => d.line === line).y.toFixed(0)} to ${end.toFixed(0)} MiB`)
    .join('; ');
  const layer = [
    {
      data: { values: data },
      mark: { type: 'line', strokeWidth: 2.25, point: { size: 30 } },
      encoding: { x, y, color },
    },
    { data: { values: ends }, mark: { ...LABEL, color: INK }, encoding: { x, y, text: { field: 'line' }, color } },
    {
      data: { values: [dot] },
      mark: { type: 'circle', size: 110, opacity: 1, stroke: SURFACE, strokeWidth: 1.5 },
      encoding: { x, y, color },
    },
  ];
  return renderChart({ name: 'vocabulary', title, description }, { height: 340, layer });
}
