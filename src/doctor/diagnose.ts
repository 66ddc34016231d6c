/**
 * Turns facts into findings: what keeps training from running, what would make it run better, and the command for each.
 */
import { mesaFindings } from './mesa.ts';
import { nvidiaFindings } from './nvidia.ts';
import { reasonOf } from './reason.ts';
import type { Examination, Finding, MachineFacts, Probe } from './types.ts';

const NODE_WANTED = [20, 19] as const;
/** Version of glibc that the webgpu package's binary needs. */
const GLIBC_WANTED = [2, 34] as const;
const NEWER_IMAGE = 'use an image with a newer C library: ubuntu:24.04 or debian:trixie (not Alpine)';

/** Diagnoses a machine; `asked` is the device that NIBBLE_DEVICE names, which advice then does not repeat. */
export function diagnose(machine: MachineFacts, probe: Probe, asked: string = 'auto'): Examination {
  const { device } = probe;
  const canTrain = device?.selfTests.every((test) => test.passed) ?? false;
  const software = device?.profile.software === true ? device.profile.name : null;
  const found = [
    ...runtimeFindings(machine),
    ...selfTestFindings(probe, asked),
    ...driverFileFindings(machine),
    ...nvidiaFindings(machine, probe),
    ...mesaFindings(machine, probe, asked),
  ];
  // problems with a GPU are advice where training runs on software
  const findings = found.map((f): Finding => (canTrain ? { ...f, level: 'advice' } : f));
  if (!canTrain && !findings.some((f) => f.level === 'problem')) findings.unshift(unexplained(probe, asked));
  return { canTrain, software, machine, probe, findings };
}

function isBelow(version: string, wanted: readonly [number, number]): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  return major < wanted[0] || (major === wanted[0] && minor < wanted[1]);
}

function runtimeFindings({ node, webgpu, platform, glibc }: MachineFacts): Finding[] {
  const findings: Finding[] = [];
  const problem = (id: string, what: string, fix: string): void => {
    findings.push({ id, level: 'problem', what, fix });
  };
  if (isBelow(node, NODE_WANTED))
    problem('node-too-old', `Node ${node} is older than ${NODE_WANTED.join('.')}`, 'install Node 20.19 or later');
  if (webgpu === null) problem('webgpu-missing', 'the package webgpu is not installed', 'npm ci');
  if (platform === 'linux' && glibc === null)
    problem('musl', 'this system has no glibc, and the webgpu package is built for it', NEWER_IMAGE);
  else if (glibc !== null && isBelow(glibc, GLIBC_WANTED))
    problem('glibc-too-old', `glibc ${glibc} is older than ${GLIBC_WANTED.join('.')}, which webgpu needs`, NEWER_IMAGE);
  return findings;
}

function selfTestFindings({ device }: Probe, asked: string): Finding[] {
  const failed = device?.selfTests.filter((test) => !test.passed) ?? [];
  return failed.map(({ name, error, limit }) => ({
    id: 'self-test',
    level: 'problem',
    what: `${name} is wrong on this device: error ${error ?? 'not a number'}, allowed ${limit}`,
    fix:
      asked === 'swiftshader'
        ? `unset NIBBLE_DEVICE, and report it: ${device?.adapter.description} is what npm ci installed`
        : 'update the GPU driver; meanwhile NIBBLE_DEVICE=swiftshader runs on software',
  }));
}

/** Finds driver files that are named but missing: the drivers that exist are hidden behind them. */
function driverFileFindings({ vulkan }: MachineFacts): Finding[] {
  const only = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].filter((name) => vulkan.env[name] !== undefined);
  const dead = vulkan.icdFiles.filter((file) => file.library === null);
  return dead.map(({ path }) => ({
    id: 'driver-file-dead',
    level: 'problem',
    what: `${path} is not there or names no library${only.length > 0 ? `, and ${only.join(' and ')} allows no other driver` : ''}`,
    fix: only.length > 0 ? `unset ${only.join(' ')}` : `remove ${path}, or install the driver it belongs to again`,
  }));
}

/** Cuts the end of a message that sends people to the doctor. */
const withoutReferral = (text: string): string => text.replace(/: run `nibble doctor`.*$/s, '');

function unexplained(probe: Probe, asked: string): Finding {
  const what = `no device could be opened: ${withoutReferral(reasonOf(probe))}`;
  if (asked !== 'auto')
    return {
      id: 'no-adapter',
      level: 'problem',
      what: `${what} (NIBBLE_DEVICE=${asked} asks for it and allows no other)`,
      fix: 'unset NIBBLE_DEVICE   # then the best device there is is taken',
    };
  return {
    id: 'no-adapter',
    level: 'problem',
    what,
    fix: 'NIBBLE_DEVICE=swiftshader nibble doctor   # on Linux x64: the software driver that npm ci installed',
  };
}
