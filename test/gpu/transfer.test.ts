import { describe, expect, test } from 'vitest';
import { GpuAllocator } from '../../src/gpu/allocator.ts';
import type { Device } from '../../src/gpu/device.ts';
import { Ledger } from '../../src/gpu/ledger.ts';
import { Readback, Uploads, upload } from '../../src/gpu/transfer.ts';
import { device } from './harness.ts';

const allocator = new GpuAllocator(device.gpu, new Ledger());
const counting = (n: number) => Uint32Array.from({ length: n }, (_, i) => i ^ 0x5bd1e995);
const words = (bytes: Uint8Array<ArrayBuffer>) => new Uint32Array(bytes.buffer);

function bufferWith(data: Uint32Array<ArrayBuffer>) {
  const buffer = allocator.allocate({ label: 'source', category: 'activations', bytes: data.byteLength });
  upload(device, buffer, 0, data);
  return buffer;
}

describe('reading back', () => {
  // staging of 64 bytes: below, at, past, a multiple of it, and several round trips with a short last one
  test.each([4, 60, 64, 68, 128, 1000, 1024])('%i bytes through 64 bytes of staging', async (bytes) => {
    const data = counting(300);
    const readback = new Readback(allocator, 'small', 64);
    expect(readback.staging.sizeBytes).toBe(64);
    const got = words(await readback.read(device, bufferWith(data), 8, bytes));
    expect([...got]).toEqual([...data.slice(2, 2 + bytes / 4)]);
  });

  test('staging counts as staging, and once', async () => {
    const ledger = new Ledger();
    const own = new GpuAllocator(device.gpu, ledger);
    const readback = new Readback(own, 'readback[0]', 100);
    const source = bufferWith(counting(256));
    await readback.read(device, source, 0, 1024);
    await readback.read(device, source, 0, 1024);
    expect(ledger.entries.map((e) => [e.label, e.category, e.bytes, e.alignmentBytes])).toEqual([
      ['readback[0]', 'staging', 100, 12],
    ]);
  });

  test('recorded copies arrive at their places', async () => {
    const readback = new Readback(allocator, 'collect', 64);
    const encoder = device.gpu.createCommandEncoder();
    readback.record(encoder, bufferWith(counting(4)), { bytes: 16, to: 48 });
    readback.record(encoder, bufferWith(Uint32Array.of(7, 8)), { bytes: 8, to: 0 });
    device.gpu.queue.submit([encoder.finish()]);
    const got = new Uint32Array(await readback.finish(device, 64));
    expect([...got.slice(0, 2), ...got.slice(12)]).toEqual([7, 8, ...counting(4)]);
  });
});

describe('uploading', () => {
  test('more than one queue write, from a view into a larger array', async () => {
    // writes are cut to 16 MiB
    const data = counting(4 * 2 ** 20 + 5000);
    const view = data.subarray(1000);
    const buffer = bufferWith(view);
    const readback = new Readback(allocator, 'large', 2 ** 20);
    const got = words(await readback.read(device, buffer, 0, view.byteLength));
    expect(Buffer.compare(new Uint8Array(got.buffer), new Uint8Array(data.buffer, 4000))).toBe(0);
  });

  test('at an offset, the rest stays', async () => {
    const buffer = bufferWith(counting(8));
    upload(device, buffer, 12, Uint32Array.of(1, 2));
    const readback = new Readback(allocator, 'all', 32);
    const want = counting(8);
    want.set([1, 2], 3);
    expect([...words(await readback.read(device, buffer, 0, 32))]).toEqual([...want]);
  });
});

describe('uploads in a row', () => {
  test('arrive, whatever the bound', async () => {
    const [data, readback] = [counting(300), new Readback(allocator, 'small', 64)];
    const target = bufferWith(new Uint32Array(300));
    const uploads = new Uploads(device, 256);
    for (let at = 0; at < 300; at += 50) {
      await uploads.room();
      uploads.write(target, 4 * at, data.subarray(at, at + 50));
    }
    await uploads.finish();
    expect([...words(await readback.read(device, target, 0, 1200))]).toEqual([...data]);
  });

  test('wait for the GPU past the bound, half of which may be on its way while the rest is written', async () => {
    // the queue of a device whose work is done when the test says so
    const done: (() => void)[] = [];
    const queue = {
      writeBuffer: () => undefined,
      onSubmittedWorkDone: () => new Promise<void>((resolve) => done.push(resolve)),
    };
    const slow = { gpu: { queue }, throwIfFailed: () => undefined } as unknown as Device;
    const [uploads, target, data] = [new Uploads(slow, 400), bufferWith(counting(100)), counting(25)];
    const room = () => Promise.race([uploads.room().then(() => true), new Promise((r) => setTimeout(r, 5, false))]);
    for (let i = 0; i < 4; i++) {
      expect(await room()).toBe(true);
      uploads.write(target, 0, data);
    }
    expect(done.length).toBe(2);
    expect(await room()).toBe(true);
    uploads.write(target, 0, data);
    expect(await room()).toBe(false);
    done.shift()?.();
    expect(await room()).toBe(true);
    const finished = uploads.finish();
    for (const fence of done.splice(0)) fence();
    await finished;
    expect(await room()).toBe(true);
  });
});
