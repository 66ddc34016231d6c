/** The page of one run (run.html): its curves, what it took, and what it was made with. */
import { type CategoryBytes, totalBytes } from '../results/run-schema.ts';
import { armLabel } from './arms.ts';
import { linesChart } from './charts/lines.ts';
import { peakBar } from './charts/peak-bar.ts';
import {
  type Block,
  bytesCells,
  bytesFigure,
  code,
  countFigure,
  figure,
  fixedFigure,
  type Inline,
  type ReportDocument,
  type Section,
  type Table,
} from './document.ts';
import { formatCount, formatFixed, formatSeconds } from './format.ts';
import { renderHtml } from './html.ts';
import { type EnvironmentFacts, environmentRows, shellQuote } from './sections/environment.ts';

/** A run as far as it is. */
export type RunView = {
  readonly method: string;
  /** How it ended, or that it goes on. */
  readonly state: string;
  /** Time of the page, ISO 8601. */
  readonly writtenAt: string;
  readonly totalSteps: number;
  readonly steps: readonly StepView[];
  readonly evaluations: readonly EvaluationView[];
  /** Texts of eval_generate, those before the first step at step 0. */
  readonly samples: readonly SampleView[];
  /** What the best evaluation is and which checkpoint has its weights; null where evaluations are not compared. */
  readonly best: {
    readonly metric: number | null;
    readonly step: number | null;
    readonly checkpoint: string | null;
  } | null;
  /** Every setting, and where its value is from; `isSet` where somebody set it. */
  readonly settings: readonly {
    readonly name: string;
    readonly value: string;
    readonly where: string;
    readonly isSet: boolean;
  }[];
  /** Bytes live at the highest peak so far, by category; null before the first step. */
  readonly peak: CategoryBytes | null;
  /** Wall-clock seconds of the run, earlier processes included. */
  readonly seconds: number;
  readonly command: readonly string[];
  readonly environment: EnvironmentFacts;
};

/** Losses in nats a token; NaN where a step has none. */
export type StepView = {
  readonly step: number;
  readonly epoch: number;
  readonly loss: number;
  readonly gradNorm: number;
  readonly learningRate: number;
  readonly stepMs: number;
  readonly tokens: number;
};
export type EvaluationView = {
  readonly step: number;
  readonly epoch: number;
  readonly evalLoss: number;
  readonly perplexity: number;
};

export type SampleView = { readonly step: number; readonly prompt: string; readonly text: string };

/** Rows of evaluations that are shown at once; the others are folded away. */
const SHOWN_EVALUATIONS = 20;

/** Renders the page, which needs no script and no network. */
export function renderRunPage(run: RunView): string {
  return renderHtml(runDocument(run), null);
}

export function runDocument(run: RunView): ReportDocument {
  const { model_info, gpu } = run.environment.meta_info;
  const sections = [curves(run), evaluations(run), samples(run), memory(run), settings(run), environment(run)];
  return {
    title: `${armLabel(run.method)} on ${model_info.id}`,
    subtitle: `${run.state}, ${run.writtenAt.slice(0, 16).replace('T', ' ')} UTC, ${gpu?.description ?? 'no device'}`,
    lead: [summary(run)],
    sections: sections.filter((section) => section !== null),
  };
}

const finite = (values: readonly number[]): number[] => values.filter(Number.isFinite);

function summary(run: RunView): Table {
  const { steps, best, peak } = run;
  const [first, last] = [
    finite(steps.map(({ loss }) => loss))[0] ?? null,
    finite(steps.map(({ loss }) => loss)).at(-1) ?? null,
  ];
  const evaluated = run.evaluations.at(-1);
  const tokens = steps.reduce((sum, step) => sum + step.tokens, 0);
  const row = (name: string, ...value: Inline[]): Inline[][] => value.map((cell) => [name, cell]);
  return {
    kind: 'table',
    id: 'summary',
    caption: 'Summary',
    columns: ['what', 'value'],
    rows: [
      ...row('steps', `${steps.length} of ${run.totalSteps}, ${formatFixed(steps.at(-1)?.epoch ?? 0, 2)} epochs`),
      ...row('training loss of the first step', fixedFigure(first, 4)),
      ...row('training loss of the last step', fixedFigure(last, 4)),
      ...(evaluated === undefined
        ? []
        : [
            ...row('last evaluation loss', fixedFigure(evaluated.evalLoss, 4)),
            ...row('last perplexity', fixedFigure(evaluated.perplexity, 2)),
          ]),
      ...(best === null || best.metric === null
        ? []
        : [
            ...row('best evaluation loss', fixedFigure(best.metric, 4)),
            ...row('step of the best evaluation', countFigure(best.step)),
            ...row('best checkpoint', best.checkpoint === null ? 'none was saved' : code(best.checkpoint)),
          ]),
      ...row(
        'wall time',
        figure(run.seconds, (value) => durationOf(value)),
      ),
      ...row('tokens, without padding', countFigure(tokens)),
      ...row('tokens a second, without the first step', fixedFigure(tokensPerSecond(steps), 1)),
      ...row('peak GPU memory', bytesFigure(peak === null ? null : totalBytes(peak))),
    ],
  };
}

const HOUR = 3600;

function durationOf(seconds: number | null): string {
  if (seconds === null || seconds < 60) return formatSeconds(seconds);
  const minutes = Math.floor((seconds % HOUR) / 60);
  const hours = Math.floor(seconds / HOUR);
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min ${Math.floor(seconds % 60)} s`;
}

function tokensPerSecond(steps: readonly StepView[]): number | null {
  const timed = steps.slice(1);
  const seconds = timed.reduce((sum, { stepMs }) => sum + stepMs, 0) / 1000;
  return seconds > 0 ? timed.reduce((sum, { tokens }) => sum + tokens, 0) / seconds : null;
}

function curves({ steps, evaluations }: RunView): Section | null {
  if (steps.length === 0) return null;
  const over = (of: (step: StepView) => number) => steps.map((step) => ({ step: step.step, value: of(step) }));
  const losses = [
    { name: 'training loss', points: over(({ loss }) => loss) },
    ...(evaluations.length === 0
      ? []
      : [
          {
            name: 'evaluation loss',
            points: evaluations.map(({ step, evalLoss }) => ({ step, value: evalLoss })),
            dots: true,
          },
        ]),
  ];
  const ends = (name: string, of: (step: StepView) => number, show: (value: number) => string): string =>
    `${name}: ${show(of(steps[0]!))} in step ${steps[0]!.step}, ${show(of(steps.at(-1)!))} in step ${steps.at(-1)!.step}`;
  const fixed = (value: number): string => formatFixed(Number.isFinite(value) ? value : null, 4);
  return {
    id: 'curves',
    heading: 'Curves',
    blocks: [
      linesChart(
        { name: 'loss', title: 'Loss', description: ends('training loss', ({ loss }) => loss, fixed) },
        'nats a token',
        losses,
      ),
      linesChart(
        {
          name: 'grad-norm',
          title: 'Gradient norm, before clipping',
          description: ends('norm', ({ gradNorm }) => gradNorm, fixed),
        },
        'norm',
        [{ name: 'gradient norm', points: over(({ gradNorm }) => gradNorm) }],
      ),
      linesChart(
        {
          name: 'learning-rate',
          title: 'Learning rate',
          description: ends(
            'rate',
            ({ learningRate }) => learningRate,
            (value) => value.toExponential(2),
          ),
        },
        'learning rate',
        [{ name: 'learning rate', points: over(({ learningRate }) => learningRate) }],
      ),
    ],
  };
}

/** A row for each prompt, a column for each time that its text was written. */
function samples({ samples: all }: RunView): Section | null {
  if (all.length === 0) return null;
  const steps = [...new Set(all.map(({ step }) => step))];
  const prompts = [...new Set(all.map(({ prompt }) => prompt))];
  const textOf = (prompt: string, step: number): string =>
    all.find((sample) => sample.prompt === prompt && sample.step === step)?.text ?? '';
  return {
    id: 'samples',
    heading: 'Samples',
    blocks: [
      {
        kind: 'table',
        id: 'samples',
        caption: 'What the model writes on after each prompt, the likeliest token every time',
        columns: ['prompt', ...steps.map((step) => (step === 0 ? 'before training' : `after step ${step}`))],
        rows: prompts.map((prompt) => [prompt, ...steps.map((step) => textOf(prompt, step))]),
      },
    ],
  };
}

function evaluations({ evaluations, best }: RunView): Section | null {
  if (evaluations.length === 0) return null;
  const table = (id: string, shown: readonly EvaluationView[]): Table => ({
    kind: 'table',
    id,
    caption: 'Evaluations',
    columns: ['step', 'epoch', 'loss', 'perplexity', ''],
    rows: shown.map(({ step, epoch, evalLoss, perplexity }) => [
      formatCount(step),
      fixedFigure(epoch, 2),
      fixedFigure(evalLoss, 4),
      fixedFigure(perplexity, 2),
      step === best?.step ? 'the best' : '',
    ]),
  });
  const [earlier, shown] = [evaluations.slice(0, -SHOWN_EVALUATIONS), evaluations.slice(-SHOWN_EVALUATIONS)];
  const folded: Block[] =
    earlier.length === 0
      ? []
      : [
          {
            kind: 'details',
            summary: `${earlier.length} earlier ones`,
            blocks: [table('evaluations-before', earlier)],
          },
        ];
  return { id: 'evaluations', heading: 'Evaluations', blocks: [...folded, table('evaluations-table', shown)] };
}

function memory({ peak }: RunView): Section | null {
  if (peak === null) return null;
  const categories = Object.entries(peak).filter(([, bytes]) => bytes > 0);
  const table: Table = {
    kind: 'table',
    id: 'memory-by-category',
    caption: 'Bytes live at the peak',
    columns: ['category', 'exact bytes', 'size'],
    rows: [
      ...categories.map(([category, bytes]) => [category.replace('_', ' '), ...bytesCells(bytes)]),
      ['peak', ...bytesCells(totalBytes(peak))],
    ],
    total: true,
  };
  return { id: 'memory', heading: 'Memory', blocks: [peakBar(peak), table] };
}

function settings({ settings, command }: RunView): Section {
  const table = (id: string, caption: string, shown: RunView['settings']): Table => ({
    kind: 'table',
    id,
    caption,
    columns: ['setting', 'value', 'from'],
    rows: shown.map(({ name, value, where }) => [name, code(value), where]),
  });
  const repeat: Block[] =
    command.length === 0 ? [] : [{ kind: 'commands', lines: [command.map(shellQuote).join(' ')] }];
  return {
    id: 'settings',
    heading: 'Settings',
    blocks: [
      table(
        'settings-set',
        'What was set',
        settings.filter(({ isSet }) => isSet),
      ),
      {
        kind: 'details',
        summary: 'Defaults, and what follows from others',
        blocks: [
          table(
            'settings-default',
            'Not set',
            settings.filter(({ isSet }) => !isSet),
          ),
        ],
      },
      ...repeat,
    ],
  };
}

function environment({ environment }: RunView): Section {
  const table: Table = {
    kind: 'table',
    id: 'environment-table',
    caption: 'Device, software and material',
    columns: ['what', 'value'],
    rows: environmentRows(environment),
  };
  return { id: 'environment', heading: 'Environment', blocks: [table] };
}
