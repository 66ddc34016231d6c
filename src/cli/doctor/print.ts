/** Prints the doctor's examination: a line for each thing examined, then what to mend. */
import pc from 'picocolors';
import type { DeviceFacts, Examination, Finding, MachineFacts, Subnormals } from '../../doctor/types.ts';
import { bestTier } from '../../gpu/tier.ts';
import { formatBytes } from '../../report/format.ts';

type Colors = ReturnType<typeof pc.createColors>;
type Row = readonly [name: string, text: string];

const NAME_WIDTH = 12;
/** Width in characters that findings are wrapped to; commands are not wrapped, so that they can be copied. */
const TEXT_WIDTH = 92;

/** Formats an examination as text, with ANSI colours where asked for. */
export function printExamination(examination: Examination, useColor: boolean): string {
  const color = pc.createColors(useColor);
  const { machine, probe, findings } = examination;
  const rows = [...machineRows(machine), ...(probe.device === null ? [] : deviceRows(probe.device))];
  const table = rows.map(([name, text]) => `${color.dim(name.padEnd(NAME_WIDTH))}${text}`);
  const parts = [
    table.join('\n'),
    ...findings.map((finding) => printFinding(finding, color)),
    verdict(examination, color),
  ];
  return `${parts.join('\n\n')}\n`;
}

function machineRows(machine: MachineFacts): Row[] {
  const { os, glibc, vulkan, nvidia } = machine;
  const system = `${os.name}${glibc === null ? '' : `, glibc ${glibc}`}, ${machine.platform} ${machine.arch}`;
  const rows: Row[] = [
    ['nibble', `${machine.nibble} on Node ${machine.node}, webgpu ${machine.webgpu ?? 'not installed'}`],
    ['system', `${system}, ${machine.cores} cores, ${formatBytes(machine.memoryBytes)}`],
  ];
  if (machine.platform === 'linux') rows.push(['vulkan', vulkanText(vulkan)]);
  if (nvidia !== null) rows.push(['nvidia', `${nvidia.gpus.join(', ')}, driver ${nvidia.driver ?? 'unknown'}`]);
  return rows;
}

function vulkanText({ loader, icdFiles, mesa, env }: MachineFacts['vulkan']): string {
  const names = icdFiles.map(({ path }) =>
    path.slice(path.lastIndexOf('/') + 1).replace(/(_icd)?(\.x86_64)?\.json$/, ''),
  );
  const drivers = names.length === 0 ? 'no drivers' : `drivers ${names.join(', ')}`;
  const variables = Object.entries(env).map(([name, value]) => `${name}=${value}`);
  return [
    loader === null ? 'no loader' : `loader ${loader}`,
    drivers,
    ...(mesa === null ? [] : [`Mesa ${mesa}`]),
    ...variables,
  ].join('; ');
}

function deviceRows({ adapter, profile, backend, subnormals, selfTests, compile }: DeviceFacts): Row[] {
  const { limits } = profile;
  // Dawn writes a device's name with hyphens, one of them at the end
  const name = adapter.device.replace(/-+$/, '') || adapter.vendor || 'unnamed';
  const kind = profile.software ? 'software' : 'hardware';
  const tests = selfTests.map((test) => `${test.name} ${testText(test)}`);
  const f16 = subnormals.f16 === null ? 'no f16' : `f16 ${subnormalText(subnormals.f16)}`;
  return [
    ['adapter', `${name} (${backend}, ${kind})`],
    ['driver', adapter.description || 'unknown'],
    ['features', featureText(adapter.features)],
    [
      'limits',
      [
        `buffer ${formatBytes(limits.maxBufferSize)}`,
        `binding ${formatBytes(limits.maxStorageBufferBindingSize)}`,
        `${limits.maxStorageBuffersPerShaderStage} storage buffers`,
        `${limits.maxComputeInvocationsPerWorkgroup} threads a workgroup`,
      ].join(', '),
    ],
    ['matmul', matmulText(profile)],
    ['subnormals', `f32 ${subnormalText(subnormals.f32)}; ${f16}`],
    ['self-test', tests.join('; ')],
    [
      'compile',
      `${compile.kernel} ${ms(compile.compileMs)}; its first run ${ms(compile.firstRunMs)}, later ones ${ms(compile.laterRunMs)}`,
    ],
  ];
}

/** Names the tier that auto takes, and the tensor cores. */
function matmulText(profile: DeviceFacts['profile']): string {
  const { tier, reason } = bestTier(profile);
  const { subgroupMatrix: matrix } = profile;
  const cores =
    matrix === null
      ? 'no subgroup matrices of f16 with f32 sums'
      : `subgroup matrices ${matrix.M}x${matrix.N}x${matrix.K} by ${matrix.subgroupSize} lanes`;
  return `${tier} (${reason}); ${cores}`;
}

/** Features that nibble uses; `--json` lists all. */
const USED_FEATURES = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix'];

function featureText(features: readonly string[]): string {
  const [has, lacks] = [true, false].map((wanted) => USED_FEATURES.filter((f) => features.includes(f) === wanted));
  return [(has ?? []).join(', '), (lacks ?? []).length > 0 ? `without ${lacks?.join(', ')}` : '']
    .filter((text) => text !== '')
    .join('; ');
}

function subnormalText({ operands, results }: Subnormals): string {
  if (operands === results) return operands;
  return `${operands} as operands, ${results} as results`;
}

function testText({ passed, error, limit }: DeviceFacts['selfTests'][number]): string {
  if (!passed) return `FAILED (error ${error?.toPrecision(2) ?? 'not a number'}, allowed ${limit.toPrecision(2)})`;
  return error === 0 ? 'exact' : `within ${error === null ? error : roundedUp(error)} of f64`;
}

/** Rounds up to one digit, so that a limit is never printed too small: 2.1e-6 becomes 3e-6. */
function roundedUp(value: number): string {
  const exponent = Math.floor(Math.log10(value));
  const digit = Math.ceil(Number((value / 10 ** exponent).toPrecision(6)));
  return digit === 10 ? `1e${exponent + 1}` : `${digit}e${exponent}`;
}

const ms = (value: number): string => `${value < 10 ? value.toFixed(1) : value.toFixed(0)} ms`;

function printFinding({ level, what, fix }: Finding, color: Colors): string {
  const mark = level === 'problem' ? color.red('✗') : color.yellow('!');
  const [first = '', ...rest] = wrapped(what);
  const text = [`${mark} ${first}`, ...rest.map((line) => `  ${line}`)];
  return [...text, ...(fix === null ? [] : [`  ${color.cyan(fix)}`])].join('\n');
}

function wrapped(text: string): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last === undefined || last.length + 1 + word.length > TEXT_WIDTH) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines;
}

const SOFTWARE_NAMES: Readonly<Record<string, string>> = { lavapipe: "Mesa's lavapipe", swiftshader: 'SwiftShader' };

function verdict({ canTrain, software }: Examination, color: Colors): string {
  if (!canTrain) return color.red('Training cannot run here until this is mended.');
  if (software === null) return color.green('Training can run here, on the GPU.');
  return `${color.green('Training can run here')}, but in software (${SOFTWARE_NAMES[software] ?? software}), not on a GPU:\nright for the tests and the quick suite, far too slow for a model of any size. Its results are marked as such.`;
}
