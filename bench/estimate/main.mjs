/** The tables of docs/estimate.md: figures that others have published beside those of the recorded plan. */
import { readFileSync, writeFileSync } from 'node:fs';
import { loadTrainConfig, settleComputeDtype } from '#dist/config/index.js';
import { estimateMethods } from '#dist/estimate/methods.js';
import { referenceModel } from '#dist/estimate/reference-models.js';
import { USUAL } from '#dist/estimate/usual.js';
import { KNOWN_PROFILES } from '#dist/gpu/device-profile.js';
import { loadShaders } from '#dist/node/device.js';

/** @typedef {import('#dist/config/index.js').TrainSettings} TrainSettings */
/** @typedef {import('#dist/estimate/types.js').MethodEstimate} MethodEstimate */
/** @typedef {{ model: string, bits16_gb: number, bits4_gb: number }} OfArticle */
/** @typedef {{ source: string, model: string, settings: TrainSettings, lora_gb: number, qlora_gb: number }} Measured */
/** @typedef {{ source: string, model: string, lora_gb: string | null, qlora_gb: string | null, full_gb: string | null }} Rule */

const PAGE = new URL('../../docs/estimate.md', import.meta.url);
const OPENS = '<!-- published: written by npm run estimate-page -->';
const CLOSES = '<!-- end of published -->';
const ABSENT = '–';

/** @type {{ article: OfArticle[], measured: Measured[], rules_of_thumb: Rule[] }} */
const published = JSON.parse(readFileSync(new URL('published.json', import.meta.url), 'utf8'));
const profile = KNOWN_PROFILES.nvidia;
if (profile === undefined) throw new Error('no profile');
const shaders = loadShaders();
/** @type {Map<string, Promise<Record<string, MethodEstimate>>>} */
const planned = new Map();

/** @param {string} model @param {TrainSettings} usual @returns {Promise<Record<string, MethodEstimate>>} by method */
function estimates(model, usual) {
  const key = JSON.stringify([model, usual]);
  const found = planned.get(key) ?? plan(model, usual);
  planned.set(key, found);
  return found;
}

/** @param {string} model @param {TrainSettings} usual */
async function plan(model, usual) {
  if (profile === undefined) throw new Error('no profile');
  const asked = loadTrainConfig({ options: { model_name_or_path: model }, usual }, 'estimate');
  const { config } = settleComputeDtype(asked, profile);
  const result = await estimateMethods({ config, model: referenceModel(model), modelName: model, profile, shaders });
  return Object.fromEntries(result.estimates.map((one) => [one.method, one]));
}

/** @param {number | null | undefined} bytes */
const gb = (bytes) => (bytes == null ? ABSENT : (bytes / 1e9).toFixed(bytes < 1e11 ? 2 : 1));
/** @param {MethodEstimate | undefined} estimate */
const peak = (estimate) => gb(estimate?.peak_bytes);
/** @param {readonly string[]} head @param {readonly (readonly string[])[]} rows */
const table = (head, rows) =>
  [head, head.map((_, i) => (i === 0 ? '---' : '---:')), ...rows].map((row) => `| ${row.join(' | ')} |`).join('\n');

/** @param {OfArticle} row */
async function articleRow({ model, bits16_gb, bits4_gb }) {
  const { lora, qlora } = await estimates(model, USUAL);
  if (lora?.peak_bytes == null || qlora?.peak_bytes == null) throw new Error(`${model} cannot be planned`);
  const linears = qlora.quantized_linears;
  if (linears === null) throw new Error(`${model} has nothing quantized`);
  const codes = linears.elements / 2;
  const kept =
    qlora.by_category.base_weights + qlora.by_category.quant_state - linears.bytes - linears.code_tables_bytes;
  const scales = linears.bytes + linears.code_tables_bytes - codes;
  return [
    model,
    String(bits16_gb),
    gb(lora.by_category.base_weights),
    gb(lora.peak_bytes),
    String(bits4_gb),
    gb(codes),
    gb(scales),
    gb(kept),
    gb(codes + scales + kept),
    gb(qlora.peak_bytes),
  ];
}

/** @param {Measured} row */
async function measuredRow({ source, model, settings, lora_gb, qlora_gb }) {
  const plain = { bnb_4bit_use_double_quant: false, compute_dtype: /** @type {const} */ ('bfloat16') };
  const { lora, qlora } = await estimates(model, { ...plain, ...settings });
  const [mine, mine4] = [lora?.peak_bytes ?? Number.NaN, qlora?.peak_bytes ?? Number.NaN];
  const { per_device_train_batch_size: rows, max_length: tokens, lora_r } = settings;
  return [
    `${model}, ${rows} x ${tokens}, r ${lora_r}: ${source}`,
    String(lora_gb),
    gb(mine),
    String(qlora_gb),
    gb(mine4),
    (qlora_gb / lora_gb).toFixed(2),
    (mine4 / mine).toFixed(2),
  ];
}

/** @param {Rule} rule */
async function ruleRow({ source, model, lora_gb, qlora_gb, full_gb }) {
  const { lora, qlora, full } = await estimates(model, USUAL);
  const cells = [qlora_gb, peak(qlora), lora_gb, peak(lora), full_gb, peak(full)];
  return [`${model}: ${source}`, ...cells.map((cell) => cell ?? ABSENT)];
}

/** @template T @param {readonly T[]} rows @param {(row: T) => Promise<string[]>} of */
async function rowsOf(rows, of) {
  const made = [];
  for (const row of rows) made.push(await of(row));
  return made;
}

const text = readFileSync(PAGE, 'utf8');
const [start, end] = [text.indexOf(OPENS), text.indexOf(CLOSES)];
if (start < 0 || end < start) throw new Error(`docs/estimate.md has to hold the lines ${OPENS} and ${CLOSES}`);
const blocks = [
  '**Weights by their number of parameters, and what a run holds.** GB are 10^9 bytes; ours at the usual settings.',
  table(
    [
      'model',
      '16 bits, by rule',
      'ours',
      'LoRA run',
      '4 bits, by rule',
      'codes',
      'scales',
      'kept in 16 bits',
      'ours',
      'QLoRA run',
    ],
    await rowsOf(published.article, articleRow),
  ),
  '**Peaks that others measured**, without gradient checkpointing; ours for full rows of that length.',
  table(['run', 'LoRA GB', 'ours', 'QLoRA GB', 'ours', 'ratio', 'ours'], await rowsOf(published.measured, measuredRow)),
  '**Rules of thumb**, beside ours at the usual settings.',
  table(
    ['model', 'QLoRA GB', 'ours', 'LoRA GB', 'ours', 'full GB', 'ours'],
    await rowsOf(published.rules_of_thumb, ruleRow),
  ),
];
writeFileSync(PAGE, `${text.slice(0, start)}${OPENS}\n\n${blocks.join('\n\n')}\n\n${text.slice(end)}`);
process.stdout.write(`docs/estimate.md: ${planned.size} models and settings planned\n`);
