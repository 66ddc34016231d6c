/** Where the log of a run goes: the files that nibble writes, and the services of transformers, to which it sends nothing. */

/** Files that a run can write its log to. */
const FILES = ['tensorboard', 'csv', 'jsonl'] as const;
/** Every other integration that transformers 5.24 has. */
export const SERVICES = [
  ...(['wandb', 'mlflow', 'trackio', 'comet_ml', 'swanlab', 'clearml', 'neptune', 'azure_ml', 'dagshub'] as const),
  ...(['dvclive', 'flyte', 'codecarbon', 'kubeflow'] as const),
];
/** What report_to takes, several or one. */
export const REPORTERS = ['none', 'all', ...FILES, ...SERVICES] as const;

export type Reporter = (typeof FILES)[number];
/** What may be written for report_to. */
export type Given = readonly (typeof REPORTERS)[number][] | (typeof REPORTERS)[number] | null;

export const listOf = (given: Given): readonly (typeof REPORTERS)[number][] =>
  typeof given === 'string' ? [given] : (given ?? []);

/** Lists the files that report_to asks for; all and none mean what they mean in transformers. */
export function reportersOf(given: Given): readonly Reporter[] {
  const names = listOf(given);
  return names.includes('all') ? FILES : FILES.filter((name) => names.includes(name));
}
