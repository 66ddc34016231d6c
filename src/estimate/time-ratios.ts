/** How much longer QLoRA's steps take than LoRA's: of records that were given, and as others have published it. */

/** Median step times and peaks of the two arms of one comparison. */
export type MeasuredRatio = {
  /** Folder or file that it comes from. */
  readonly source: string;
  readonly model: string;
  readonly device: string;
  /** Whether a software driver did the work: its times say nothing of a GPU. */
  readonly software: boolean;
  /** Tokens of a micro-batch, padding included. */
  readonly tokensPerMicroStep: number;
  /** QLoRA over LoRA. */
  readonly time: number;
  readonly memory: number;
};

/**
 * litgpt's table of fine-tunes on one A10G (config_hub/finetune), where arms differ in `quantize: bnb.nf4` alone: rows of up to 512
 * tokens by 1, 2, 4 and 8. The last line is torchtune's 3B at 8,192 tokens and Aquila2's 4 x 2,048. Extra time falls as one over
 * the tokens, since a weight is decoded once for all of them.
 */
const PUBLISHED: readonly {
  readonly tokens: number;
  readonly least: number;
  readonly most: number;
  readonly by: string;
}[] = [
  { tokens: 512, least: 1.98, most: 2.05, by: 'litgpt' },
  { tokens: 1024, least: 1.34, most: 1.44, by: 'litgpt' },
  { tokens: 2048, least: 1.16, most: 1.19, by: 'litgpt' },
  { tokens: 4096, least: 1.08, most: 1.08, by: 'litgpt' },
  { tokens: 8192, least: 1.02, most: 1.05, by: 'torchtune and Aquila2' },
];

/** Says how the time compares at so many tokens a micro-step: as measured where a GPU was, else as published. */
export function timeSentence(ratios: readonly MeasuredRatio[], tokens: number): string {
  const near = nearest(
    ratios.filter(({ software }) => !software),
    tokens,
    ({ tokensPerMicroStep }) => tokensPerMicroStep,
  );
  if (near !== undefined)
    return `a step of QLoRA took ${near.time.toFixed(2)} times one of LoRA, in ${near.memory.toFixed(2)} times its memory, at ${count(near.tokensPerMicroStep)} tokens a micro-step (${near.model} on ${near.device}, measured in ${near.source})`;
  const published = nearest(PUBLISHED, tokens, (row) => row.tokens);
  if (published === undefined) return '';
  const { least, most, tokens: at, by } = published;
  const range = least === most ? least.toFixed(2) : `${least.toFixed(2)} to ${most.toFixed(2)}`;
  const software = nearest(ratios, tokens, ({ tokensPerMicroStep }) => tokensPerMicroStep);
  const seen =
    software === undefined
      ? ''
      : `; ${software.source} measured ${software.memory.toFixed(2)} times the memory, and times of a software driver, which say nothing of a GPU`;
  return `a step of QLoRA took ${range} times one of LoRA in published runs of ${by} at up to ${count(at)} tokens a micro-step; this run has ${count(tokens)}, and the more, the less${seen}`;
}

function nearest<T>(rows: readonly T[], tokens: number, of: (row: T) => number): T | undefined {
  const distance = (row: T): number => Math.abs(Math.log(of(row) / tokens));
  return [...rows].sort((a, b) => distance(a) - distance(b))[0];
}

const count = (value: number): string => Math.round(value).toLocaleString('en-US');
