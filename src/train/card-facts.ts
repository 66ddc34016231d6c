/** What the card of an adapter says of its run: the same bytes, however many processes the run took. */
import { lastPart, type TrainingFacts } from '../adapters/card.ts';
import { type Evaluation, meanLoss, type Sample, type StepEvent } from './events.ts';
import { beforeAndAfter } from './samples.ts';
import type { RunInput } from './session.ts';

/** The run as far as it is. */
type Run = {
  readonly steps: readonly StepEvent[];
  readonly evaluations: readonly Evaluation[];
  readonly samples: readonly Sample[];
  /** Step whose weights are saved. */
  readonly step: number;
  readonly device: string;
  readonly nibbleVersion: string;
};

export function trainingFacts(
  input: RunInput,
  { steps, evaluations, samples, step, device, nibbleVersion }: Run,
): TrainingFacts {
  const { config, train, evaluation } = input;
  const names = (sets: typeof config.datasets, use: 'training' | 'evaluation') =>
    sets.map(({ path }) => ({ name: lastPart(path), use }));
  return {
    datasets: [...names(config.datasets, 'training'), ...names(config.eval_datasets, 'evaluation')],
    trainRows: train.rows.count,
    evalRows: evaluation.rows.count,
    settings: settingsOf(input, steps.length),
    results: resultsOf(steps, evaluations),
    samples: beforeAndAfter(samples, step),
    step,
    versions: [
      ['nibble', nibbleVersion],
      ['device', device],
    ],
  };
}

function settingsOf({ config, layout, batches }: RunInput, steps: number): TrainingFacts['settings'] {
  const { per_device_train_batch_size: rows, gradient_accumulation_steps: micro, learning_rate, weight_decay } = config;
  const stored = [...layout.linear.keys()].map((module) => layout.spec.storedAs(module));
  const quantized = stored.find((how) => how.kind === '4bit');
  const { adam_beta1, adam_beta2, adam_epsilon, warmup_steps, packing_strategy } = config;
  return [
    ['method', config.method],
    ...(quantized === undefined
      ? []
      : [
          [
            'base weights',
            `4 bits: ${quantized.quantType}${quantized.doubleQuant ? ', double quantization' : ''}`,
          ] as const,
        ]),
    ['compute_dtype', config.compute_dtype],
    ['learning_rate', String(learning_rate)],
    ['lr_scheduler_type', `${config.lr_scheduler_type}${warmup_steps === 0 ? '' : `, warmup_steps ${warmup_steps}`}`],
    [
      'optimizer',
      `AdamW, betas ${adam_beta1} and ${adam_beta2}, epsilon ${adam_epsilon}, weight_decay ${weight_decay}`,
    ],
    ['max_grad_norm', String(config.max_grad_norm)],
    ['per_device_train_batch_size', String(rows)],
    ['gradient_accumulation_steps', `${micro} (${rows * micro} rows a step)`],
    ['steps', `${steps} of ${batches.totalSteps}`],
    ['max_length', `${config.max_length}${config.packing ? `, packed (${packing_strategy})` : ''}`],
    ['seed', String(config.seed)],
  ];
}

function resultsOf(steps: readonly StepEvent[], evaluations: readonly Evaluation[]): TrainingFacts['results'] {
  const after = evaluations.filter(({ step }) => step > 0);
  const last = steps.at(-1);
  if (after.length === 0)
    return last === undefined ? [] : [{ step: last.step, epoch: last.epoch, loss: meanLoss(steps), evalLoss: null }];
  return after.map(({ step, epoch, result }, i) => {
    const since = steps.filter((done) => done.step > (after[i - 1]?.step ?? 0) && done.step <= step);
    return { step, epoch, loss: meanLoss(since), evalLoss: result.evalLoss };
  });
}
