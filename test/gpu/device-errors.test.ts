/** How failures of the device reach the caller. Each test opens a device of its own, because a failed one stays failed. */
import { afterEach, describe, expect, test } from 'vitest';
import { GpuAllocator } from '../../src/gpu/allocator.ts';
import type { Device } from '../../src/gpu/device.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { bufferOf } from '../../src/gpu/program.ts';
import { Readback } from '../../src/gpu/transfer.ts';
import { closeDevice, openDevice } from '../../src/node/device.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { rejection, thrown } from '../formats/files.ts';

const adapter = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;
const opened: Device[] = [];
async function open(choice: DeviceChoice = adapter, limits = {}): Promise<Device> {
  const device = await openDevice({ device: choice, limits });
  opened.push(device);
  return device;
}
afterEach(async () => {
  for (const device of opened.splice(0)) await closeDevice(device);
});

/** A usage that no device allows. */
const badBuffer = (device: Device, label: string) =>
  device.gpu.createBuffer({ label, size: 16, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_SRC });

describe('guarded', () => {
  test('a validation error becomes a DeviceError: device, what was done, the first line, what to try', async () => {
    const device = await open();
    const error = await rejection(device.guarded('train: building', () => badBuffer(device, 'wrong')));
    expect(error.name).toBe('DeviceError');
    const [first, second, ...rest] = error.message.split('\n');
    expect(first).toMatch(new RegExp(`^${device.profile.name}: train: building: .*MapRead`));
    expect([second, rest]).toEqual(['run `nibble doctor` to see what this device can do', []]);
    // and nothing the device does later is believed
    expect(thrown(() => device.throwIfFailed())).toBe(error);
  });

  test('what the body returns or throws passes through, and the scopes are closed again', async () => {
    const device = await open();
    expect(await device.guarded('fine', async () => 7)).toBe(7);
    const own = new Error('own');
    expect(await rejection(device.guarded('own', () => Promise.reject(own)))).toBe(own);
    expect(() => device.throwIfFailed()).not.toThrow();
    // an open scope would swallow this one
    badBuffer(device, 'outside');
    await device.gpu.queue.onSubmittedWorkDone();
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(thrown(() => device.throwIfFailed()).message).toMatch(/MapRead/);
  });
});

// SwiftShader refuses allocations beyond 1 GiB less its own bookkeeping; other drivers hand out more than there is.
test('out of memory becomes a DeviceError that says what to make smaller', async () => {
  const device = await open('swiftshader');
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const bytes = device.gpu.limits.maxBufferSize;
  const error = await rejection(
    device.guarded('allocating', () => allocator.allocate({ label: 'logits', category: 'logits', bytes })),
  );
  expect(error.name).toBe('DeviceError');
  expect(error.message).toMatch(/^swiftshader: allocating: .*OUT_OF_DEVICE_MEMORY/);
  expect(error.message).toMatch(/\nout of memory: use a smaller per_device_train_batch_size.*`nibble estimate`/);
});

test('a validation error outside a scope fails the next read', async () => {
  const device = await open();
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const from = allocator.allocate({ label: 'from', category: 'staging', bytes: 16 });
  const readback = new Readback(allocator, 'back', 16);
  const encoder = device.gpu.createCommandEncoder();
  encoder.copyBufferToBuffer(bufferOf(from), 0, bufferOf(from), 0, 16);
  device.gpu.queue.submit([encoder.finish()]);
  const error = await rejection(readback.read(device, from, 0, 16));
  expect(error.name).toBe('DeviceError');
  expect(error.message).toMatch(/same.*buffer|from/i);
});

test('a lost device is a DeviceError in every read that follows', async () => {
  const device = await open();
  const allocator = new GpuAllocator(device.gpu, new Ledger());
  const from = allocator.allocate({ label: 'from', category: 'staging', bytes: 16 });
  const readback = new Readback(allocator, 'back', 16);
  await readback.read(device, from, 0, 16);
  device.gpu.destroy();
  await device.gpu.lost;
  await new Promise((resolve) => setTimeout(resolve));
  const error = await rejection(readback.read(device, from, 0, 16));
  expect(error.name).toBe('DeviceError');
  expect(error.message).toMatch(/the device was lost \(destroyed\)|[Dd]evice/);
  expect(thrown(() => device.throwIfFailed()).name).toBe('DeviceError');
});

test('destroying the device oneself is no failure', async () => {
  const device = await open();
  device.destroy();
  await device.gpu.lost;
  await new Promise((resolve) => setTimeout(resolve));
  expect(() => device.throwIfFailed()).not.toThrow();
});

test('limits that the adapter lacks: the device is refused with its own words', async () => {
  const error = await rejection(open(adapter, { maxComputeInvocationsPerWorkgroup: 2 ** 30 }));
  expect(error.name).toBe('DeviceError');
  expect(error.message).toMatch(/the device was refused: (.|\n)*maxComputeInvocationsPerWorkgroup/);
});

// the variables that lead the loader to SwiftShader would lead every later device of the process there
test('opening SwiftShader leaves the environment as it was', async () => {
  const seen = () => [process.env.VK_ICD_FILENAMES, process.env.VK_DRIVER_FILES];
  const before = seen();
  expect((await open('swiftshader')).profile.name).toBe('swiftshader');
  expect(seen()).toEqual(before);
});

test('an adapter that is not there', async () => {
  const { software } = (await open()).profile;
  const [choice, what] = software ? (['gpu', 'a hardware GPU'] as const) : (['lavapipe', 'lavapipe'] as const);
  const error = await rejection(open(choice));
  expect(error.name).toBe('DeviceError');
  expect(error.message).toMatch(new RegExp(`^no WebGPU adapter for ${what}: run \`nibble doctor\``));
});

test('two devices asked for at once are opened one after the other, and the environment is as it was', async () => {
  const { VK_ICD_FILENAMES, VK_DRIVER_FILES } = process.env;
  const [first, second] = await Promise.all([open(), open()]);
  expect(second.info.description).toBe(first.info.description);
  expect(process.env.VK_ICD_FILENAMES).toBe(VK_ICD_FILENAMES);
  expect(process.env.VK_DRIVER_FILES).toBe(VK_DRIVER_FILES);
});
