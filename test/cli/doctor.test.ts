import { describe, expect, it } from 'vitest';
import { doctorCommand } from '../../src/cli/doctor/command.ts';
import { runDoctor } from '../../src/cli/doctor/run.ts';
import { diagnose } from '../../src/doctor/diagnose.ts';
import type { Examination } from '../../src/doctor/types.ts';
import {
  DEBIAN_SOURCES,
  dpkgMesa,
  fakeDevice,
  fakeMachine,
  found,
  icd,
  notFound,
  SMI,
} from '../doctor/fake-machine.ts';
import { nibble } from './fakes.ts';

const OLD_MESA = diagnose(
  fakeMachine({
    files: {
      '/etc/apt/sources.list.d/debian.sources': DEBIAN_SOURCES,
      '/usr/share/vulkan/icd.d/lvp_icd.x86_64.json': icd('libvulkan_lvp.so'),
    },
    programs: dpkgMesa('22.3.6-1'),
  }),
  found(fakeDevice('swiftshader')),
);
const GPU = diagnose(fakeMachine({ programs: SMI }), found(fakeDevice('nvidia')));
const NOTHING = diagnose(fakeMachine({ view: { webgpu: null } }), notFound('Cannot find package webgpu'));

const doctor = (examination: Examination, argv: string[] = [], more = {}) =>
  nibble(
    ['doctor', ...argv],
    [(context) => doctorCommand(context, (args, ctx) => runDoctor(args, ctx, () => Promise.resolve(examination)))],
    more,
  );

describe('nibble doctor', () => {
  it('shows a line for each thing it looked at, the finding with its command, and that it is software', async () => {
    const { code, stdout, stderr } = await doctor(OLD_MESA);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout.split('\n').slice(0, 16)).toEqual([
      'nibble      0.1.0 on Node 20.19.0, webgpu 0.6.2',
      'system      Debian GNU/Linux 12 (bookworm), glibc 2.36, linux x64, 2 cores, 8.00 GiB',
      'vulkan      no loader; drivers lvp; Mesa 22.3.6-1',
      'adapter     swiftshader-device (vulkan, software)',
      'driver      swiftshader driver 1.2',
      'features    timestamp-query; without shader-f16, subgroups, chromium-experimental-subgroup-matrix',
      'limits      buffer 1.00 GiB, binding 1.00 GiB, 12 storage buffers, 256 threads a workgroup',
      'matmul      direct (a software driver: workgroup tiles do not pay there); no subgroup matrices of f16 with f32 sums',
      'subnormals  f32 flushed as operands, kept as results; no f16',
      'self-test   add exact',
      'compile     matmul_nt 12 ms; its first run 4.6 ms, later ones 0.5 ms',
      '',
      "! Mesa 22.3.6-1 is installed, and WebGPU's Dawn refuses it: 25 or later is needed",
      expect.stringMatching(/^ {2}printf .*bookworm-backports/),
      '',
      expect.stringMatching(/^Training can run here, but in software \(SwiftShader\), not on a GPU:$/),
    ]);
  });

  it('on a GPU says so, and nothing of software', async () => {
    const { code, stdout } = await doctor(GPU);
    expect(code).toBe(0);
    expect(stdout).toContain('nvidia      NVIDIA L4, driver 570.86.15\n');
    expect(stdout.trimEnd()).toMatch(/\n\nTraining can run here, on the GPU\.$/);
    expect(stdout).not.toMatch(/software|✗|!/);
  });

  it('ends with 2 where training cannot run, after saying why and what to do', async () => {
    const { code, stdout, stderr } = await doctor(NOTHING);
    expect(code).toBe(2);
    expect(stdout).toContain('✗ the package webgpu is not installed\n  npm ci\n');
    expect(stdout.trimEnd()).toMatch(/Training cannot run here until this is mended\.$/);
    expect(stderr).toBe('nibble: no usable WebGPU device; what to do is said above\n');
  });

  it('--json is the whole examination, with the same exit code', async () => {
    const well = await doctor(OLD_MESA, ['--json']);
    expect(JSON.parse(well.stdout)).toEqual(OLD_MESA);
    expect(well.code).toBe(0);
    const ill = await doctor(NOTHING, ['--json']);
    expect(JSON.parse(ill.stdout)).toEqual(NOTHING);
    expect(ill.code).toBe(2);
  });

  it('tries the device that training would take', async () => {
    const asked: string[] = [];
    const look = (choice: string) => Promise.resolve(asked.push(choice)).then(() => GPU);
    const run = (env: Record<string, string>) =>
      nibble(['doctor'], [(c) => doctorCommand(c, (args, context) => runDoctor(args, context, look))], { env });
    await run({});
    await run({ NIBBLE_DEVICE: 'swiftshader' });
    expect(asked).toEqual(['auto', 'swiftshader']);
    expect(await run({ NIBBLE_DEVICE: 'cuda' })).toMatchObject({ code: 2, stderr: expect.stringContaining('cuda') });
  });

  it('never prints an error smaller than it is', async () => {
    const within = async (error: number) => {
      const device = { ...fakeDevice('nvidia'), selfTests: [{ name: 'matmul', passed: true, error, limit: 1 }] };
      return /matmul within (\S+) of f64/.exec((await doctor(diagnose(fakeMachine(), found(device)))).stdout)?.[1];
    };
    const errors = [2.135e-6, 2e-6, 9.5e-7, 1e-6, 3e-7, 0.25];
    expect(await Promise.all(errors.map(within))).toEqual(['3e-6', '2e-6', '1e-6', '1e-6', '3e-7', '3e-1']);
  });

  it('colours only a terminal', async () => {
    const written: string[] = [];
    const stdout = { isTTY: true, write: (text: string) => written.push(text) };
    await doctor(OLD_MESA, [], { stdout });
    expect(written.join('')).toContain('\u001b[');
    expect((await doctor(OLD_MESA)).stdout).not.toContain('\u001b[');
  });
});
