/** The machine and software of the runs, and the commands that repeat them. */
import type { RunRecord } from '../../results/run-schema.ts';
import { armLabel } from '../arms.ts';
import {
  type Block,
  bytesFigure,
  code,
  countFigure,
  type Inline,
  paragraph,
  type Section,
  type Table,
} from '../document.ts';

type Row = readonly Inline[];

/** The parts of a record that tell where and with what a run was made; a run that goes on has them too. */
export type EnvironmentFacts = {
  readonly meta_info: RunRecord['meta_info'];
  readonly train_info: Pick<RunRecord['train_info'], 'tier' | 'attention_tier' | 'lora_products'>;
  readonly run_info: Pick<RunRecord['run_info'], 'code'>;
  readonly eval_info: Pick<RunRecord['eval_info'], 'data_hashes'>;
};

/** Device, software and material, a row each. */
export function environmentRows(run: EnvironmentFacts): Row[] {
  return [...deviceRows(run), ...softwareRows(run), ...materialRows(run)];
}

/** Shows a table for each machine and software, and a banner where the runs of a suite did not share one. */
export function environmentSection(runs: readonly RunRecord[]): Section | null {
  const groups = byEnvironment(runs);
  if (groups.length === 0) return null;
  const mixed: Block[] =
    groups.length > 1
      ? [
          {
            kind: 'banner',
            content: [
              'The runs did not share one device and software. Compare their times only where the devices match.',
            ],
          },
        ]
      : [];
  const tables = groups.map(([run, arms], i): Table => {
    const whose = groups.length > 1 ? ` of ${arms.map(armLabel).join(', ')}` : '';
    return {
      kind: 'table',
      id: i === 0 ? 'environment-table' : `environment-table-${i + 1}`,
      caption: `Device, software and material${whose}`,
      columns: ['what', 'value'],
      rows: environmentRows(run),
    };
  });
  return { id: 'environment', heading: 'Environment', blocks: [...mixed, ...tables] };
}

/** Picks a run for each environment, and the arms that ran in it. */
function byEnvironment(runs: readonly RunRecord[]): (readonly [RunRecord, string[]])[] {
  const groups = new Map<string, { run: RunRecord; arms: Set<string> }>();
  for (const run of runs) {
    const { gpu, runtime, package_info } = run.meta_info;
    const key = JSON.stringify([gpu?.description, runtime.node, runtime.cpu, runtime.kernel, package_info]);
    const group = groups.get(key) ?? { run, arms: new Set() };
    group.arms.add(run.run_info.arm);
    groups.set(key, group);
  }
  return [...groups.values()].map(({ run, arms }) => [run, [...arms]]);
}

function deviceRows({ meta_info: { gpu, runtime }, train_info }: EnvironmentFacts): Row[] {
  const device: Row[] =
    gpu === null
      ? [['device', '–']]
      : [
          ['device', `${gpu.description} (${gpu.vendor}, ${gpu.architecture}, ${gpu.backend})`],
          ['driver', gpu.driver ?? '–'],
          ['software-rendered', gpu.software_rendered ? 'yes' : 'no'],
          ['features', gpu.features.join(', ')],
          ['toggles', gpu.toggles.join(', ') || 'none'],
          ['subgroup size', gpu.subgroup === null ? '–' : `${gpu.subgroup.min} to ${gpu.subgroup.max}`],
        ];
  return [
    ...device,
    ['matmul tier', train_info.tier ?? '–'],
    ['attention tier', train_info.attention_tier ?? '–'],
    ['LoRA products', loraProducts(train_info)],
    ['CPU', `${runtime.cpu}, ${runtime.cores} cores`],
    ['RAM', bytesFigure(runtime.ram)],
    ['system', `${runtime.os}, kernel ${runtime.kernel}${runtime.container === null ? '' : `, ${runtime.container}`}`],
  ];
}

function loraProducts({ lora_products: lora }: EnvironmentFacts['train_info']): string {
  if (lora === undefined) return '–';
  return `forward ${lora.forward}, backward ${lora.backward}; operands ${lora.operands}`;
}

function softwareRows({ meta_info: { runtime, package_info }, run_info: { code: source } }: EnvironmentFacts): Row[] {
  const packages = Object.entries(package_info).map(([name, version]) => `${name} ${version}`);
  const dirty = source.git_dirty === true ? ', with changes that were not committed' : '';
  const env = Object.entries(runtime.env).map(([key, value]) => `${key}=${value}`);
  return [
    ...(runtime.node === null ? [] : [['Node', `${runtime.node} (V8 ${runtime.v8})`]]),
    ['packages', packages.join(', ')],
    ['code', `${source.version}, commit ${source.git_commit ?? '–'}${dirty}`],
    ['lockfile sha256', code(source.lockfile_sha256 ?? '–')],
    ...(env.length === 0 ? [] : [['environment variables', code(env.join(' '))]]),
  ];
}

function materialRows({
  meta_info: { model_info, dataset_info },
  eval_info: { data_hashes },
}: EnvironmentFacts): Row[] {
  const data = Object.entries(dataset_info).flatMap(([name, info]): Row[] => [
    [`data ${name}, sha256`, code(info.sha256)],
    [`data ${name}, rows`, countFigure(info.rows)],
  ]);
  return [
    ['model', `${model_info.id}${model_info.revision === null ? '' : `, revision ${model_info.revision}`}`],
    ['weights sha256', code(model_info.sha256_of_weights)],
    ['config sha256', code(model_info.config_sha)],
    ['tokenizer sha256', code(data_hashes.tokenizer ?? '–')],
    ...data,
  ];
}

/** Lists the commands that repeat the runs: checkout, install, and each exact command line once. */
export function repeatSection(runs: readonly RunRecord[]): Section | null {
  const first = runs[0];
  if (first === undefined) return null;
  const { git_commit, git_dirty } = first.run_info.code;
  const commands = [...new Set(runs.map((run) => run.run_info.command.map(shellQuote).join(' ')))];
  const checkout = git_commit === null ? [] : [`git checkout ${git_commit}`];
  return {
    id: 'repeat',
    heading: 'How to repeat it',
    blocks: [
      { kind: 'commands', lines: [...checkout, 'npm ci', 'npm run build', ...commands] },
      ...(git_dirty === true
        ? [paragraph('The working tree held changes that this commit does not: the runs cannot be repeated exactly.')]
        : []),
      ...(typeof first.run_info.plan_id === 'string'
        ? [
            paragraph(
              'That is how the runs were made. Whoever has this folder repeats them with ',
              code('npx nibble bench repeat FOLDER'),
              ', and is told what agrees.',
            ),
          ]
        : []),
      paragraph(
        'Equal run ids mean equal resolved config, weights, data, seed and arm. ',
        'The same seed on the same device gives the same bits.',
      ),
    ],
  };
}

export function shellQuote(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`;
}
