/** docs/fidelity.md from the records of results/fidelity: nothing on it is typed in. */
import { block, standing } from '../shared/page.mjs';

/** @typedef {import('../shared/records.mjs').StoredRecord} StoredRecord */
/** @typedef {{ number: number, title: string, records: StoredRecord[] }} Row */

/** What the page holds against the originals, by row. */
export const ROWS = [
  'Quantized bytes against bitsandbytes',
  'Logits of every architecture against transformers',
  'Training steps of every architecture against PEFT',
  'Files that go both ways',
  'A real pretrained model',
  'Token ids',
  'Generated tokens',
  'Tasks scored by lm-eval',
];

/** @param {readonly StoredRecord[]} records @returns {string} the page */
export function renderPage(records) {
  const rows = ROWS.map((title, i) => ({ number: i + 1, title, records: records.filter((r) => r.row === i + 1) }));
  return `${[HEAD, summary(rows), ...rows.map(section)].join('\n\n')}\n`;
}

const HEAD = `# Fidelity

How close nibble is to bitsandbytes, transformers and PEFT. Every figure was measured by the command that stands with it;
this page is made from [results/fidelity](../results/fidelity) by \`npm run fidelity\`, which measures what needs no Python
and writes the page again. Do not edit it.

Relative differences are against the original's value. A 2-norm is relative to the original's own update. Where a bound is
given, the figure has to be at most that.`;

/** @param {readonly Row[]} rows */
function summary(rows) {
  const lines = rows.map(({ number, title, records }) => `| ${number} | ${title} | ${standing(records)} |`);
  return ['| | what | where it stands |', '| --- | --- | --- |', ...lines].join('\n');
}

/**
 * What a reader has to know of a row to take its figures for what they are; the tests hold models and settings to it.
 * @type {Readonly<Record<number, string>>}
 */
const ABOUT = {
  2: `Models of two layers of width 64 with random weights ([test/golden](../test/golden/README.md)), 32 tokens. The reference
of a bnb-4bit checkpoint is transformers on the base that the format's definition dequantizes, not bitsandbytes' layers.

What each of them stands for, here and in row 3:

| model | form | published models |
| --- | --- | --- |
| llama | \`llama3\` rope scaling, untied head, grouped queries | Llama 3.1; Llama 3, which has no rope scaling |
| llama-tied | \`llama3\` rope scaling, tied head, grouped queries | Llama 3.2 (1B, 3B) |
| llama-biased | biases of attention and MLP, tied head, as many key heads as query heads | Llama's form with \`attention_bias\` or \`mlp_bias\`; SmolLM2 1.7B, which has no biases |
| mistral | a sliding window, untied head, grouped queries | Mistral 7B; TinyLlama and Llama 2 70B, which have no window |
| qwen2 | biases of q, k and v, a window in one layer | Qwen2, Qwen2.5, which leave their window unused |
| qwen3 | norms of q and k, tied head | Qwen3, dense |
| gemma | norms around 0, tanh GELU, scaled embeddings | Gemma (the first) |
| phi3 | fused projections, a sliding window | Phi-3 with default rope (4k contexts) |
| smollm3 | a layer without rope, biases, tied head | SmolLM3, which has no biases |
| olmo2 | norms after attention and MLP, norms of q and k | OLMo 2 |

Llama without any of these (Llama 2, TinyLlama: default rope, untied head, no window) is held to transformers' logits and to 20
steps of PEFT, LoRA and QLoRA, by \`test/model/logits.test.ts\` and \`test/train/peft-steps.test.ts\`, and has no row here.
SmolLM2's other sizes group their queries; row 5 has one of them.`,
  3: `The 50 steps: models of row 2, the same data and initial adapter on both sides (rank 4 on all linear layers, A and B with
standard deviation 0.1), learning rate 1e-3 linear, weight decay 0.1, clipping at 0.3 active at every step, no dropout. QLoRA
is from one bnb-4bit checkpoint, which PEFT trains on as the format's definition dequantizes it: bitsandbytes' backward on a
CPU is not reliable.`,
  6: `Pipelines, flags and classes are those of the families' published tokenizers, around small vocabularies trained on text of
ours. \`tokenizers\` opens tokenizer.json alone, transformers the whole directory; where transformers 5 gives a class parts of its
own (Llama 2, SmolLM2), the two differ from each other, and nibble follows transformers with a note.`,
  7: `SmolLM2-135M-Instruct made by [bench/models/smollm2](../bench/models/smollm2), whose weights went through Q4_1; an adapter of
random values on all linear layers (rank 8, alpha 16, B with standard deviation 0.02). The bnb-4bit base is the one that transformers
wrote, and the reference of it the base that the format's definition dequantizes. Small models of ten architectures are held to the
tokens of transformers and PEFT by \`test/generate/greedy.test.ts\` (32 of them) and \`test/slow/greedy.test.ts\` (128).`,
  8: `All items of five tasks ([test/golden/eval](../test/golden/eval): multiple choice with and without worked examples, perplexity of
texts, a last word, generated answers) with the tiny model and an adapter on it. lm-eval asks \`nibble serve\` as it asks any server of
OpenAI's completions, and each number or text that it takes from the answers is held against \`nibble eval\`'s. lm-eval keeps two places
of a context for itself, so the served model is said to have two more: the longest items are then cut alike. Against lm-eval's own
\`hf\` model the same items are held by \`test/slow/eval.test.ts\`.`,
};

/** @param {Row} row */
function section({ number, title, records }) {
  const head = `## ${number}. ${title}${number in ABOUT ? `\n\n${ABOUT[number]}` : ''}`;
  if (records.length === 0) return `${head}\n\nNot measured.`;
  return [head, ...records.map(block)].join('\n\n');
}
