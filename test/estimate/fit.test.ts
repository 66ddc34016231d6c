/**
 * A plan that exceeds the memory it may have is refused, with its arithmetic and with what would help. Opens no GPU.
 */
import path from 'node:path';
import { expect, test } from 'vitest';
import type { TrainConfig } from '../../src/config/settings.ts';
import { exitCodeOf } from '../../src/errors.ts';
import { allowedBytes } from '../../src/estimate/allowed.ts';
import { estimateThatFits, type GpuMemory } from '../../src/estimate/fit.ts';
import { KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { loadShaders } from '../../src/node/device.ts';
import { driverSample, gpuMemories, memoryOf, processMemory } from '../../src/node/gpu-memory.ts';
import { readRunInput } from '../../src/train/session.ts';
import { rejection } from '../formats/files.ts';
import { GOLDEN } from '../train/open.ts';
import { configOf, learnableRows, runtimeOf } from '../train/run.ts';

const MODEL = path.join(GOLDEN, 'llama', 'untied-gqa-f32');
const GIB = 2 ** 30;
const shaders = loadShaders();

async function asked(overrides: Partial<TrainConfig>, info: { vendor: string; device: string } | null = null) {
  const config = configOf({ model_name_or_path: MODEL, ...overrides });
  const { readerOf } = runtimeOf({ '.': new Map([['rows.jsonl', learnableRows(1, 16, 24, 64)]]) });
  const input = await readRunInput(config, readerOf);
  const of = info ?? { vendor: 'nvidia', device: 'NVIDIA H200' };
  const described = { ...of, architecture: '', description: '', isFallbackAdapter: false };
  const profile = KNOWN_PROFILES[info === null ? 'nvidia' : 'lavapipe'];
  if (profile === undefined) throw new Error('no profile');
  const device = { profile, shaders, info: { ...described, features: [], limits: {}, toggles: [] } };
  return { input, device };
}

const driver = (freeBytes: number) => (names: readonly string[]) => {
  expect(names).toContain('NVIDIA H200');
  return { name: 'NVIDIA H200', totalBytes: 140 * GIB, freeBytes };
};
const silent = () => null;

test('what fits is the plan, to the byte of the limit', async () => {
  const { input, device } = await asked({});
  const { peakBytes } = await estimateThatFits(input, device, silent);
  for (const max_gpu_memory of [peakBytes, '1GB', '1.5 GiB']) {
    const limited = await asked({ max_gpu_memory });
    const fitting = await estimateThatFits(limited.input, limited.device, silent);
    expect(fitting.peakBytes).toBe(peakBytes);
    expect(fitting.advice.map(({ code }) => code)).toEqual(max_gpu_memory === peakBytes ? ['memory'] : []);
    if (max_gpu_memory === peakBytes)
      expect(fitting.advice[0]?.fix).toMatch(/gradient_checkpointing: true needs [\d.]+ MiB less/);
  }
  const tight = await asked({ max_gpu_memory: peakBytes - 1 });
  const error = await rejection(estimateThatFits(tight.input, tight.device, silent));
  expect([error.name, exitCodeOf(error)]).toEqual(['ConfigError', 2]);
  expect(await estimateThatFits(input, device, driver(peakBytes))).toMatchObject({ peakBytes });
});

test('a refusal has a line for each category, which add up, and what each change would make of it', async () => {
  const { input, device } = await asked({
    max_gpu_memory: '300KB',
    per_device_train_batch_size: 4,
    gradient_accumulation_steps: 1,
  });
  const { byCategory, peakBytes } = await estimateThatFits(
    { ...input, config: { ...input.config, max_gpu_memory: null } },
    device,
    silent,
  );
  const { message } = await rejection(estimateThatFits(input, device, silent));
  const [first, ...lines] = message.split('\n');
  const mib = (bytes: number) => `${(bytes / 2 ** 20).toFixed(2)} MiB`;
  expect(first).toBe(
    `max_gpu_memory: the run would be out of memory: it needs ${mib(peakBytes)} of the GPU, 0.29 MiB are allowed (300000 bytes)`,
  );
  for (const [category, bytes] of [...Object.entries(byCategory), ['together', peakBytes] as const])
    expect(lines.some((line) => line.trim().startsWith(category) && line.endsWith(mib(bytes)))).toBe(bytes > 0);
  const remedies = lines.slice(lines.indexOf('What would help, and what the run would need then:') + 1);
  for (const what of [
    'method: qlora',
    'gradient_checkpointing: true',
    'per_device_train_batch_size: 2',
    'max_length: 12',
  ])
    expect(remedies.filter((line) => line.trim().startsWith(what))).toHaveLength(1);
  const sizes = remedies.map((line) => Number(/([\d.]+) MiB, is still too much$/.exec(line)?.[1]));
  expect(remedies.at(-1)).toContain('all of these');
  expect(sizes.at(-1)).toBeLessThan(Math.min(...sizes.slice(0, -1)));
  // each change by itself needs less than the run as it is
  expect(Math.max(...sizes)).toBeLessThan(peakBytes / 2 ** 20);
});

test('what fits after a change is said to', async () => {
  const checkpointed = await asked({ gradient_checkpointing: true });
  const { peakBytes } = await estimateThatFits(checkpointed.input, checkpointed.device, silent);
  const { input, device } = await asked({ max_gpu_memory: peakBytes });
  const { message } = await rejection(estimateThatFits(input, device, silent));
  expect(message).toMatch(/gradient_checkpointing: true +[\d.]+ MiB, fits$/m);
  expect(message).not.toContain('all of these');
});

test("the driver's figure counts where nothing is set, of an NVIDIA GPU only", async () => {
  const { input, device } = await asked({});
  const error = await rejection(estimateThatFits(input, device, driver(2 ** 19)));
  expect([error.name, exitCodeOf(error)]).toEqual(['DeviceError', 2]);
  expect(error.message).toMatch(
    /needs .* of the GPU, 0\.50 MiB of 140\.00 GiB are free on NVIDIA H200 \(nvidia-smi\)\n/,
  );
  expect(error.message).toMatch(/What would help[\s\S]*set max_gpu_memory to overrule its driver\.$/);
  const overruled = await asked({ max_gpu_memory: '1GiB' });
  await estimateThatFits(overruled.input, overruled.device, driver(2 ** 19));
  const software = await asked({}, { vendor: 'mesa', device: 'llvmpipe' });
  await estimateThatFits(software.input, software.device, driver(2 ** 19));
});

test('sizes in words, and in bytes', () => {
  const sizes = { 12345: 12345, '40GB': 40e9, '40GiB': 40 * GIB, '1.5 KiB': 1536, '0.5TB': 5e11 };
  for (const [size, bytes] of Object.entries(sizes))
    expect(allowedBytes({ max_gpu_memory: size === '12345' ? Number(size) : size })).toBe(bytes);
  expect(allowedBytes({ max_gpu_memory: null })).toBeNull();
});

test('nvidia-smi: the GPU of that name with most room; slices and absent drivers say nothing', () => {
  const view = (text: string | null) => ({ output: () => text });
  const two = 'NVIDIA H200, 143771, 100\nNVIDIA T4, 15360, 15000\nNVIDIA H200, 143771, 90000\n';
  const gpus = gpuMemories(view(two));
  expect(gpus).toHaveLength(3);
  expect(memoryOf(['NVIDIA H200', ''], gpus)).toEqual<GpuMemory>({
    name: 'NVIDIA H200',
    totalBytes: 143_771 * 2 ** 20,
    freeBytes: 90_000 * 2 ** 20,
  });
  expect(memoryOf(['0x2335'], gpus)?.freeBytes).toBe(90_000 * 2 ** 20);
  expect(gpuMemories(view('NVIDIA H200, [N/A], [Insufficient Permissions]\n'))).toEqual([]);
  expect(memoryOf(['x'], gpuMemories(view(null)))).toBeNull();
});

test("the driver's figures of a process and of its GPU, where it gives them", () => {
  const answers: Record<string, string> = {
    '--query-gpu=name,memory.total,memory.free': 'NVIDIA H200, 143771, 143000\n',
    '--query-compute-apps=pid,used_memory': `1, 100\n${process.pid}, 300\n${process.pid}, [N/A]\n${process.pid}, 200\n`,
  };
  const view = { output: (_: string, ...args: string[]) => answers[args[0] ?? ''] ?? null };
  expect(processMemory(process.pid, view)).toBe(500 * 2 ** 20);
  expect(processMemory(2, view)).toBeNull();
  expect(driverSample(['NVIDIA H200'], view)).toEqual({ usedBytes: 771 * 2 ** 20, processBytes: 500 * 2 ** 20 });
  expect(driverSample(['NVIDIA H200'], { output: () => null })).toBeNull();
});
