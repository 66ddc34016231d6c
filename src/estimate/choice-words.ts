/** The sentences of a choice between LoRA and QLoRA: what to take, its arithmetic, and what it costs. */
import { sizeInWords } from '../config/index.ts';
import type { Choice, ChoiceFigures, ChoiceJob, MethodFigures } from './choice-types.ts';
import { timeSentence } from './time-ratios.ts';
import { USUAL } from './usual.ts';

type Told = Pick<Choice, 'method' | 'rule'> & {
  readonly figures: ChoiceFigures;
  readonly job: Pick<ChoiceJob, 'ratios' | 'adapters' | 'quality'>;
};

export function choiceSentences(told: Told): string[] {
  return [answer(told), ...otherGpus(told.figures), ...cost(told), ...quality(told), ...adapters(told), ...full(told)];
}

const percent = (bytes: number, of: number): string => `${Math.round((100 * bytes) / of)} %`;
const count = (value: number): string => value.toLocaleString('en-US');

/** 12.55 GiB of weights + 0.60 GiB of adapter, gradients and moments + 1.46 GiB of activations and the rest = 14.61 GiB. */
function sum({ base_bytes: base, adapter_state_bytes: adapter, peak_bytes: peak }: MethodFigures): string {
  return `${sizeInWords(base)} of weights + ${sizeInWords(adapter)} of adapter, gradients and moments + ${sizeInWords(peak - base - adapter)} of activations and the rest = ${sizeInWords(peak)}`;
}

const shape = ({ per_device_train_batch_size: rows, max_length: tokens }: ChoiceFigures): string =>
  `${rows} x ${count(tokens)} tokens`;

function answer(told: Told): string {
  const { figures, rule } = told;
  const { lora, qlora, usable_bytes: free } = figures;
  const there = `${sizeInWords(free)} that ${figures.card} is taken to have free`;
  const take = (method: string, of: MethodFigures): string =>
    `${method}: at ${shape(figures)}, ${sum(of)}, ${percent(of.peak_bytes, free)} of the ${there}`;
  if (rule === 'neither') return neither(told, there);
  if (lora !== null && told.method === 'lora') {
    const why = {
      comfortable: 'comfortable in 16 bits, so that 4 bits would only cost time and perhaps a little quality',
      quality: 'it fits in 16 bits, and every bit of quality was asked for',
      many_adapters: 'it fits in 16 bits, where all adapters share one base',
    }[rule as 'comfortable' | 'quality' | 'many_adapters'];
    return `${take('LoRA', lora)}: ${why}.`;
  }
  if (qlora === null) return '';
  return `${take('QLoRA', qlora)}. ${whyNotLora(told)}`;
}

function whyNotLora({ figures, rule }: Told): string {
  const { lora, qlora, usable_bytes: free, lora_usual_row_bytes: usual } = figures;
  if (lora === null || qlora === null) return 'The device cannot do LoRA of this model.';
  const needs = `LoRA would need ${sizeInWords(lora.peak_bytes)}`;
  if (rule === 'does_not_fit')
    return `${needs}, ${sizeInWords(lora.peak_bytes - free)} more than there is; 4 bits make its weights ${sizeInWords(lora.base_bytes)} - ${sizeInWords(qlora.base_bytes)} = ${sizeInWords(lora.base_bytes - qlora.base_bytes)} smaller.`;
  const room = `QLoRA has room for ${roomOf(qlora)} where LoRA has room for ${roomOf(lora)}`;
  if (rule === 'long_context' && usual !== null)
    return `${needs}, ${percent(lora.peak_bytes, free)}, since activations grow with the row: at ${count(USUAL.max_length)} tokens it would be ${sizeInWords(usual)}, ${percent(usual, free)}. ${room}.`;
  return `${needs}, ${percent(lora.peak_bytes, free)}, which fits too narrowly to be left alone. ${room}.`;
}

const roomOf = ({ longest_row: tokens }: MethodFigures): string =>
  tokens === null ? 'none' : `rows of ${count(tokens)} tokens`;

function neither({ figures }: Told, there: string): string {
  const { qlora, lora, usable_bytes: free, qlora_card_gb: gb } = figures;
  if (qlora === null) return `Neither: the device can do neither LoRA nor QLoRA of this model.`;
  const needs = `Neither: at ${shape(figures)} QLoRA needs ${sum(qlora)}, ${sizeInWords(qlora.peak_bytes - free)} more than the ${there}${lora === null ? '' : `, and LoRA ${sizeInWords(lora.peak_bytes)}`}.`;
  const fitting = figures.help.find(({ peak_bytes }) => peak_bytes <= free);
  const help =
    fitting === undefined
      ? qlora.longest_row === null
        ? 'No row fits'
        : `Rows of ${count(qlora.longest_row)} tokens fit`
      : `It fits with ${fitting.what} (${sizeInWords(fitting.peak_bytes)})`;
  const card = gb === null ? 'no usual card holds it as asked' : `a card of ${gb} GB holds it as asked`;
  return `${needs} ${help}; ${card}.`;
}

/** Several GPUs are one here, for a single run. */
function otherGpus({ gpus, card }: ChoiceFigures): string[] {
  if (gpus === 1) return [];
  return [
    `A run uses one GPU, so ${gpus} of them are answered as one, ${card}: their memory does not add up here, as it would with sharding (FSDP). The others can do other runs, such as the seeds and arms of a suite.`,
  ];
}

/** What QLoRA's decoding costs, or would cost. */
function cost({ method, figures, job }: Told): string[] {
  const { lora, qlora, per_device_train_batch_size: rows, max_length: tokens } = figures;
  if (method === null || qlora === null || lora === null) return [];
  const time = timeSentence(job.ratios, rows * tokens);
  if (method === 'qlora') return [`In time: ${time}.`];
  return [`QLoRA would need ${sizeInWords(qlora.peak_bytes)}; ${time}.`];
}

/** The nine models of litgpt's table (config_hub/finetune) whose arms differ in the base's bits alone: one seed each. */
const PUBLISHED_GAP =
  "in all nine models of litgpt's table whose arms are alike QLoRA ended with the higher validation loss (by 0.009 to 0.048, one seed each), while MMLU showed no such gap";

function quality({ method, figures, job }: Told): string[] {
  if (!job.quality || method === null) return [];
  if (method === 'lora')
    return [
      `A 4-bit base is an approximation: ${PUBLISHED_GAP}. Memory that is left is better spent on a stronger model in 16 bits.`,
    ];
  const { lora_card_gb: gb, lora } = figures;
  const needs = lora === null ? '' : ` (${sizeInWords(lora.peak_bytes)})`;
  const card = gb === null ? 'no usual card holds LoRA of it' : `LoRA of it takes a card of ${gb} GB${needs}`;
  return [
    `For every bit of quality LoRA would be the choice: ${PUBLISHED_GAP}; ${card}. A smaller model in 16 bits is worth a comparison.`,
  ];
}

function adapters({ method, figures, job: { adapters: n } }: Told): string[] {
  const chosen = method === null ? null : figures[method];
  if (n === 1 || chosen === null) return [];
  const { base_bytes: base, adapter_bytes: one } = chosen;
  const together = base + n * one;
  const bits = method === 'lora' ? '16 bits' : '4 bits';
  return [
    `${n} adapters of ${sizeInWords(one)} share one base in ${bits}: ${sizeInWords(base)} + ${n} x ${sizeInWords(one)} = ${sizeInWords(together)}, where ${n} merged copies would be ${n} x ${sizeInWords(base)} = ${sizeInWords(n * base)}. Use them on the base that they were trained on${method === 'qlora' ? ': adapters of a 4-bit base on a 16-bit one are adapters of another model' : ''}.`,
  ];
}

/** What no adapter does. */
function full({ figures }: Told): string[] {
  const { lora, qlora, full_bytes } = figures;
  const adapter = lora ?? qlora;
  if (adapter === null || full_bytes === null) return [];
  return [
    `Neither changes the weights themselves: what does not go into ${count(adapter.num_trainable_params)} parameters beside them, such as a new language, takes full training, ${sizeInWords(full_bytes)} here.`,
  ];
}
