import { describe, expect, it } from 'vitest';
import { diagnose } from '../../src/doctor/diagnose.ts';
import type { Probe } from '../../src/doctor/types.ts';
import {
  DEBIAN_SOURCES,
  dpkgMesa,
  type FakeMachine,
  fakeDevice,
  fakeMachine,
  found,
  icd,
  ldconfig,
  NOBLE,
  notFound,
  SMI,
} from './fake-machine.ts';

const SWIFTSHADER = found(fakeDevice('swiftshader'));
const APT = { '/etc/apt/sources.list.d/debian.sources': DEBIAN_SOURCES };
const GLVND = ['libvulkan.so.1', 'libEGL.so.1', 'libGLdispatch.so.0', 'libXext.so.6'];
const NVIDIA = ['libGLX_nvidia.so.0', 'libEGL_nvidia.so.0', 'libnvidia-glvkspirv.so.570.86.15'];
const NVIDIA_ICD = { '/etc/vulkan/icd.d/nvidia_icd.json': icd('libGLX_nvidia.so.0') };

const see = (machine: FakeMachine, probe: Probe = SWIFTSHADER) => diagnose(fakeMachine(machine), probe);
const ids = (machine: FakeMachine, probe?: Probe) => see(machine, probe).findings.map((f) => f.id);
const only = (machine: FakeMachine, probe?: Probe) => {
  const { findings } = see(machine, probe);
  expect(findings).toHaveLength(1);
  return findings[0]!;
};

describe('whether training can run', () => {
  it('on a GPU there is nothing to say', () => {
    expect(see({ programs: SMI }, found(fakeDevice('nvidia')))).toMatchObject({
      canTrain: true,
      software: null,
      findings: [],
    });
  });

  it('on software it can, and findings are advice', () => {
    const { canTrain, software, findings } = see({ files: APT });
    expect({ canTrain, software }).toEqual({ canTrain: true, software: 'swiftshader' });
    expect(findings.map((f) => [f.id, f.level])).toEqual([['no-gpu', 'advice']]);
    expect(see({}, found(fakeDevice('lavapipe'))).findings).toEqual([]);
  });

  it('not on a device that computes wrongly', () => {
    const wrong = { name: 'add', passed: false, error: null, limit: 0 };
    const { canTrain, findings } = see({}, found(fakeDevice('nvidia', { selfTests: [wrong] })));
    expect(canTrain).toBe(false);
    expect(findings).toMatchObject([
      { id: 'self-test', level: 'problem', what: expect.stringContaining('add is wrong') },
    ]);
  });

  it('without a device there is always a problem with the reason and a next step', () => {
    const { canTrain, findings } = see({ view: { platform: 'darwin', glibc: null } }, notFound('', '\nMetal is off\n'));
    expect(canTrain).toBe(false);
    expect(findings[0]).toMatchObject({
      id: 'no-adapter',
      level: 'problem',
      what: expect.stringContaining('Metal is off'),
    });
  });

  it('advice never sets what is set already, nor sends people to the doctor', () => {
    const referral = 'no WebGPU adapter for a hardware GPU: run `nibble doctor` to see what is missing';
    for (const asked of ['gpu', 'lavapipe', 'swiftshader']) {
      const { findings } = diagnose(fakeMachine(), notFound('', `${referral} and how to mend it`), asked);
      const first = findings.find((f) => f.id === 'no-adapter');
      expect(first?.what).toBe(
        `no device could be opened: no WebGPU adapter for a hardware GPU (NIBBLE_DEVICE=${asked} asks for it and allows no other)`,
      );
      expect(first?.fix).toMatch(/^unset NIBBLE_DEVICE /);
    }
    const wrong = { name: 'add', passed: false, error: 1, limit: 0 };
    const software = found(fakeDevice('swiftshader', { selfTests: [wrong] }));
    const fix = diagnose(fakeMachine(), software, 'swiftshader').findings.find((f) => f.id === 'self-test')?.fix;
    expect(fix).toMatch(/^unset NIBBLE_DEVICE, /);
    const slow = diagnose(fakeMachine({ programs: dpkgMesa('25.0.7-2') }), SWIFTSHADER, 'swiftshader').findings;
    expect(slow).toMatchObject([{ id: 'no-gpu', fix: expect.stringMatching(/^NIBBLE_DEVICE=lavapipe /) }]);
  });

  it('old runtimes are named', () => {
    const gone = notFound('x');
    const runtime = (view: FakeMachine['view']) => ids({ view: view ?? {} }, gone).filter((id) => id !== 'no-gpu');
    expect(runtime({ node: '20.18.3' })).toEqual(['node-too-old']);
    expect(runtime({ node: '20.19.0' })).toEqual(['no-adapter']);
    expect(runtime({ webgpu: null })).toEqual(['webgpu-missing']);
    expect(runtime({ glibc: '2.31' })).toEqual(['glibc-too-old']);
    expect(runtime({ glibc: '2.34' })).toEqual(['no-adapter']);
    expect(runtime({ glibc: null })).toEqual(['musl']);
  });
});

describe('Mesa', () => {
  it("Debian 12's is refused; the fix names this machine's own mirror", () => {
    const finding = only({ files: APT, programs: dpkgMesa('22.3.6-1+deb12u1') });
    expect(finding.id).toBe('mesa-too-old');
    expect(finding.what).toContain('22.3.6-1+deb12u1');
    expect(finding.fix).toContain("'URIs: http://mirror.invalid/debian' 'Suites: bookworm-backports'");
    expect(finding.fix).toContain('apt-get install -y -t bookworm-backports mesa-vulkan-drivers libvulkan1');
  });

  it('is left alone where it is new enough, or a GPU is in use', () => {
    expect(only({ programs: dpkgMesa('25.0.7-2~bpo12+1') })).toMatchObject({ id: 'no-gpu', fix: null });
    expect(ids({ programs: dpkgMesa('22.3.6') }, found(fakeDevice('nvidia')))).toEqual([]);
  });

  it('is what AMD and Intel need, and every system has its own command', () => {
    const amd = { '/dev/dri/renderD128': '', '/sys/class/drm/renderD128/device/vendor': '0x1002\n' };
    expect(only({ files: { ...amd, '/etc/os-release': NOBLE } })).toMatchObject({
      id: 'mesa-missing',
      what: expect.stringContaining('amd GPU'),
      fix: 'apt-get update && apt-get install -y mesa-vulkan-drivers libvulkan1',
    });
    expect(only({ files: { '/etc/os-release': 'ID=fedora' }, view: { isRoot: false } }).fix).toMatch(
      /^sudo dnf install/,
    );
    expect(only({ files: {} }).fix).toContain('add bookworm-backports');
  });

  it('a render node that this user may not open', () => {
    const finding = only({ files: { '/dev/dri/renderD128': 'locked' } });
    expect(finding).toMatchObject({ id: 'render-node-permission', fix: expect.stringContaining('usermod -aG render') });
  });
});

describe('driver files', () => {
  it('a variable that names a file which is not there', () => {
    const finding = see({ env: { VK_DRIVER_FILES: '/gone.json' } }, notFound('x')).findings[0]!;
    expect(finding).toMatchObject({ id: 'driver-file-dead', fix: 'unset VK_DRIVER_FILES' });
    expect(finding.what).toContain('/gone.json is not there');
  });

  it('are read from folders and variables', () => {
    const files = {
      ...NVIDIA_ICD,
      '/usr/share/vulkan/icd.d/lvp_icd.json': icd('libvulkan_lvp.so'),
      '/one.json': icd('x'),
    };
    const paths = (env: Record<string, string>) => fakeMachine({ files, env }).vulkan.icdFiles.map((f) => f.path);
    expect(paths({})).toEqual(['/etc/vulkan/icd.d/nvidia_icd.json', '/usr/share/vulkan/icd.d/lvp_icd.json']);
    expect(paths({ VK_ICD_FILENAMES: '/one.json' })).toEqual(['/one.json']);
    expect(paths({ VK_ADD_DRIVER_FILES: '/one.json' })).toHaveLength(3);
  });
});

describe('an NVIDIA GPU that Vulkan does not reach', () => {
  const nvidia = (machine: FakeMachine, probe?: Probe) =>
    only({ ...machine, programs: { ...SMI, ...machine.programs } }, probe);

  it('the capability graphics is missing', () => {
    const finding = nvidia({ env: { NVIDIA_DRIVER_CAPABILITIES: 'compute,utility' }, programs: ldconfig(...GLVND) });
    expect(finding.id).toBe('nvidia-capability-graphics');
    expect(finding.what).toContain('NVIDIA L4 (driver 570.86.15)');
    expect(finding.what).toContain('NVIDIA_DRIVER_CAPABILITIES is compute,utility');
    expect(finding.fix).toContain('NVIDIA_DRIVER_CAPABILITIES=compute,utility,graphics');
    expect(nvidia({}).what).toContain('NVIDIA_DRIVER_CAPABILITIES is not set');
  });

  it('it is there, but the libraries are not', () => {
    for (const asked of ['all', 'compute,utility,graphics', 'utility,display']) {
      const { id, what, fix } = nvidia({ env: { NVIDIA_DRIVER_CAPABILITIES: asked } });
      expect(id).toBe('nvidia-userland-absent');
      expect(what).toContain(`although ${asked} was asked for`);
      expect(fix).toContain('apt-get install -y libnvidia-gl-570 ');
      expect(fix).toContain('sh NVIDIA-Linux-x86_64-570.86.15.run --silent --no-kernel-module');
    }
    const arm = nvidia({ env: { NVIDIA_DRIVER_CAPABILITIES: 'all' }, view: { arch: 'arm64', isRoot: false } });
    expect(arm.fix).toContain('sudo sh NVIDIA-Linux-aarch64-570.86.15.run');
  });

  it('gVisor passes the GPU on, and mounts no libraries for any capability', () => {
    const files = { '/proc/version': 'Linux version 4.4.0 #1 SMP Sun Jan 10 15:06:54 PST 2016\n' };
    const finding = nvidia({ files, env: { NVIDIA_DRIVER_CAPABILITIES: 'compute,utility' } });
    expect(finding.id).toBe('nvidia-userland-absent');
    expect(finding.what).toContain('runs on gVisor');
    expect(fakeMachine().isGvisor).toBe(false);
  });

  it("an image's own libraries are of another version than the host's driver", () => {
    const other = ['libGLX_nvidia.so.0', 'libnvidia-glvkspirv.so.535.104.05'];
    const { id, what, fix } = nvidia({ files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...other) });
    expect(id).toBe('nvidia-userland-version');
    expect(what).toContain(
      '(driver 570.86.15) cannot be opened: the Vulkan part of its driver is of version 535.104.05',
    );
    expect(fix).toContain('of exactly 570.86.15');
  });

  it("the host's driver shows in /proc, but no GPU was passed in", () => {
    const files = { '/proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu' };
    const finding = only({ files });
    expect(finding).toMatchObject({ id: 'nvidia-not-passed', fix: expect.stringMatching(/^docker run --gpus all /) });
    expect(finding.what).toContain("NVIDIA's driver 570.86.15");
  });

  it('the loader, EGL or glvnd are missing, or only the loader knows', () => {
    const finding = nvidia({ files: NVIDIA_ICD, programs: ldconfig('libvulkan.so.1', ...NVIDIA) });
    expect(finding.id).toBe('nvidia-glvnd-missing');
    expect(finding.what).toContain('libEGL.so.1, libGLdispatch.so.0, libXext.so.6 are missing');
    expect(finding.fix).toContain('libegl1');
    // a driver file would not help without these libraries, so they come first
    expect(nvidia({ programs: ldconfig('libvulkan.so.1', ...NVIDIA) }).id).toBe('nvidia-glvnd-missing');
    const log = 'Could not get vkCreateInstance via vk_icdGetInstanceProcAddr for ICD libGLX_nvidia.so.0';
    const complete = { files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...NVIDIA) };
    expect(nvidia(complete, { ...SWIFTSHADER, driverLog: log }).id).toBe('nvidia-glvnd-missing');
    expect(nvidia({ files: NVIDIA_ICD, programs: ldconfig(...GLVND.slice(1), ...NVIDIA) }).what).toContain(
      'libvulkan.so.1 is missing',
    );
  });

  it('no file tells the loader of it; the fix writes one that parses', () => {
    const finding = nvidia({ programs: ldconfig(...GLVND, ...NVIDIA) });
    expect(finding.id).toBe('nvidia-icd-missing');
    const manifest = JSON.parse(/'([^']+)'/.exec(finding.fix ?? '')?.[1] ?? '');
    expect(manifest.ICD.library_path).toBe('libGLX_nvidia.so.0');
    expect(nvidia({ programs: ldconfig(...GLVND, ...NVIDIA.slice(1)) }).fix).toContain('libEGL_nvidia.so.0');
  });

  it('the driver needs a newer C library than the image has', () => {
    const probe = { ...SWIFTSHADER, driverLog: "libnvidia-gpucomp.so: version `GLIBC_2.38' not found" };
    const finding = nvidia({ files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...NVIDIA) }, probe);
    expect(finding).toMatchObject({ id: 'nvidia-glibc', what: expect.stringContaining('glibc 2.36') });
  });

  it('its shader compiler was not mounted', () => {
    const finding = nvidia({ files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...NVIDIA.slice(0, 2)) });
    expect(finding.id).toBe('nvidia-partly-mounted');
    const driverLog = 'libnvidia-gpucomp.so.570.86.15: cannot open shared object file: No such file or directory';
    const complete = { files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...NVIDIA) };
    const other = nvidia(complete, { ...SWIFTSHADER, driverLog });
    expect(other.id).toBe('nvidia-partly-mounted');
    expect(other.what).toContain('libnvidia-gpucomp.so is missing, which its Vulkan driver loads');
  });

  it('everything seems right: what the loader said', () => {
    const probe = {
      ...SWIFTSHADER,
      driverLog: '\nerror: XDG_RUNTIME_DIR is invalid\n    at InitializeImpl\nsomething odd\n',
    };
    const finding = nvidia({ files: NVIDIA_ICD, programs: ldconfig(...GLVND, ...NVIDIA) }, probe);
    expect(finding).toMatchObject({ id: 'nvidia-unknown', what: expect.stringContaining('something odd') });
  });

  it('is seen without nvidia-smi, by its device files', () => {
    const { nvidia } = fakeMachine({
      files: {
        '/dev/nvidia0': '',
        '/proc/driver/nvidia/version': 'NVRM version: NVIDIA UNIX x86_64 Kernel Module  570.86.15  Thu',
      },
    });
    expect(nvidia).toMatchObject({ gpus: ['/dev/nvidia0'], driver: '570.86.15' });
    expect(fakeMachine().nvidia).toBeNull();
  });
});
