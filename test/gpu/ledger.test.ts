import { describe, expect, test } from 'vitest';
import { type BufferRequest, DryAllocator, GpuAllocator } from '../../src/gpu/allocator.ts';
import { type Category, emptyCategoryBytes } from '../../src/gpu/category.ts';
import { Ledger, type LedgerEntry } from '../../src/gpu/ledger.ts';
import { bufferOf } from '../../src/gpu/program.ts';
import { device } from './harness.ts';

const entry = (category: Category, bytes: number, alignmentBytes = 0): LedgerEntry => ({
  label: `${category}.${bytes}`,
  category,
  bytes,
  alignmentBytes,
});

describe('the ledger', () => {
  test('counts by category, alignment in a row of its own', () => {
    const ledger = new Ledger();
    ledger.add(entry('base_weights', 100, 12));
    ledger.add(entry('adapter', 7, 9));
    ledger.add(entry('base_weights', 50, 14));
    expect(ledger.peak.byCategory).toEqual({ ...emptyCategoryBytes(), base_weights: 150, adapter: 7, alignment: 35 });
    expect([ledger.currentBytes, ledger.peak.peakBytes, ledger.liveCount]).toEqual([192, 192, 3]);
  });

  test('a peak stays when its buffers go, with what it was made of', () => {
    const ledger = new Ledger();
    const scratch = entry('workspace', 1000, 24);
    ledger.add(entry('base_weights', 10));
    ledger.add(scratch);
    ledger.remove(scratch);
    ledger.add(entry('logits', 500));
    expect(ledger.currentBytes).toBe(510);
    expect(ledger.peak.peakBytes).toBe(1034);
    expect(ledger.peak.byCategory).toEqual({
      ...emptyCategoryBytes(),
      base_weights: 10,
      workspace: 1000,
      alignment: 24,
    });
  });

  test('a phase begins at what is live; a phase entered again keeps its peak', () => {
    const ledger = new Ledger();
    ledger.enterPhase('load');
    const slab = entry('staging', 80);
    ledger.add(slab);
    ledger.enterPhase('train');
    ledger.remove(slab);
    ledger.add(entry('activations', 30));
    ledger.enterPhase('eval');
    ledger.add(entry('logits', 5));
    ledger.enterPhase('train');
    expect(ledger.phasePeaks.map((p) => [p.phase, p.peakBytes])).toEqual([
      ['load', 80],
      ['train', 80],
      ['eval', 35],
    ]);
    expect(ledger.phasePeaks[1]?.byCategory).toEqual({ ...emptyCategoryBytes(), staging: 80 });
    ledger.add(entry('optimizer', 60));
    expect(ledger.phasePeaks.map((p) => p.peakBytes)).toEqual([80, 95, 35]);
    expect(ledger.peak.phase).toBe('train');
  });

  test('what is not live cannot be removed', () => {
    const ledger = new Ledger();
    const one = entry('adapter', 4);
    ledger.add(one);
    ledger.remove(one);
    expect(() => ledger.remove(one)).toThrow('adapter.4 is not live');
    expect([ledger.currentBytes, ledger.liveCount]).toEqual([0, 0]);
  });
});

describe('allocators', () => {
  // buffers are whole vectors of 16 bytes, at least one
  const REQUESTS: readonly [BufferRequest, size: number][] = [
    [{ label: 'empty', category: 'staging', bytes: 0 }, 16],
    [{ label: 'one', category: 'adapter', bytes: 1 }, 16],
    [{ label: 'whole', category: 'optimizer', bytes: 32 }, 32],
    [{ label: 'odd', category: 'base_weights', bytes: 33 }, 48],
    [{ label: 'padded', category: 'gradients', bytes: 512, paddingBytes: 200 }, 512],
    [{ label: 'scalars', category: 'staging', bytes: 20, usage: 'uniform' }, 32],
    [{ label: 'back', category: 'staging', bytes: 100, usage: 'readback' }, 112],
  ];

  test('createBuffer sizes are what the ledger says, and an estimate says the same', () => {
    const [real, dry] = [new GpuAllocator(device.gpu, new Ledger()), new DryAllocator(new Ledger())];
    for (const [request, size] of REQUESTS) {
      const made = real.allocate(request);
      const counted = dry.allocate(request);
      expect([made.sizeBytes, bufferOf(made).size], request.label).toEqual([size, size]);
      expect(counted).toEqual({ ...made, buffer: null });
      expect(made.entry.bytes + made.entry.alignmentBytes).toBe(size);
      expect(made.entry.bytes).toBe(request.bytes - (request.paddingBytes ?? 0));
      expect(bufferOf(made).label).toBe(request.label);
    }
    expect(dry.ledger.peak).toEqual(real.ledger.peak);
    const total = REQUESTS.reduce((sum, [, size]) => sum + size, 0);
    expect(real.ledger.currentBytes).toBe(total);
    // 100 + 20 + 0 of staging, 312 of gradients: padding counts as alignment alone
    expect(real.ledger.peak.byCategory).toMatchObject({ staging: 120, gradients: 312, base_weights: 33 });
  });

  test('usages: storage can be copied both ways, readback can only be mapped', () => {
    const allocator = new GpuAllocator(device.gpu, new Ledger());
    const usage = (kind: 'storage' | 'uniform' | 'readback') =>
      bufferOf(allocator.allocate({ label: kind, category: 'staging', bytes: 16, usage: kind })).usage;
    const copies = GPUBufferUsage.COPY_DST | GPUBufferUsage.COPY_SRC;
    expect(usage('storage')).toBe(GPUBufferUsage.STORAGE | copies);
    expect(usage('uniform')).toBe(GPUBufferUsage.UNIFORM | copies);
    expect(usage('readback')).toBe(GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST);
  });

  test('free destroys the buffer and takes it out of the ledger', async () => {
    const allocator = new GpuAllocator(device.gpu, new Ledger());
    const made = allocator.allocate({ label: 'gone', category: 'workspace', bytes: 64 });
    allocator.free(made);
    expect([allocator.ledger.currentBytes, allocator.ledger.liveCount]).toEqual([0, 0]);
    device.gpu.pushErrorScope('validation');
    const encoder = device.gpu.createCommandEncoder();
    encoder.clearBuffer(bufferOf(made));
    device.gpu.queue.submit([encoder.finish()]);
    const error = await device.gpu.popErrorScope();
    expect(error?.message).toMatch(/gone.*destroyed/);
    expect(() => allocator.free(made)).toThrow('gone is not live');
  });

  test('a buffer beyond maxBufferSize is refused before it is made, with both numbers', () => {
    const allocator = new GpuAllocator(device.gpu, new Ledger());
    const max = device.gpu.limits.maxBufferSize;
    const bytes = max + 1;
    expect(() => allocator.allocate({ label: 'adam_m[0]', category: 'optimizer', bytes })).toThrow(
      expect.objectContaining({
        name: 'DeviceError',
        message: expect.stringMatching(
          new RegExp(`^adam_m\\[0\\] needs a buffer of \\d+ bytes, this device allows ${max}: use a`),
        ),
      }),
    );
    expect(allocator.ledger.liveCount).toBe(0);
  });
});
