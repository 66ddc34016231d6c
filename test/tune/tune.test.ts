import { afterAll, describe, expect, it } from 'vitest';
import type { Device } from '../../src/gpu/device.ts';
import { type DeviceProfile, KNOWN_PROFILES } from '../../src/gpu/device-profile.ts';
import { TILE_KINDS, tileProblem } from '../../src/gpu/tiles.ts';
import { DEFAULT_SIMT_TILE } from '../../src/kernels/matmul-simt.ts';
import { closeDevice, loadShaders, openDevice } from '../../src/node/device.ts';
import type { DeviceChoice } from '../../src/node/device-choice.ts';
import { knownTiles } from '../../src/tune/candidates.ts';
import { type TuneEvent, type TuneOptions, type TuneResult, tuneKernels } from '../../src/tune/tune.ts';

const choice = (process.env.NIBBLE_TEST_DEVICE ?? 'auto') as DeviceChoice;
const SMALL = { BM: 16, BN: 16, BK: 8, TM: 4, TN: 4 };
const options: TuneOptions = { shapes: [{ M: 20, N: 23, K: 17 }], rounds: 1, candidates: { simt: [SMALL] } };
const open: Device[] = [];
/** Shared by tests with the same shaders, whose compilation takes most of a test on SwiftShader. */
let sharedDevice: Device | null = null;
afterAll(async () => {
  expect(open).toEqual([]);
  if (sharedDevice !== null) await closeDevice(sharedDevice);
});

async function tune(
  openOne: () => Promise<Device>,
  given: TuneOptions,
  heard: (event: TuneEvent) => void = () => {},
): Promise<{ result: TuneResult; events: string[] }> {
  const opening = async () => {
    const device = await openOne();
    open.push(device);
    return device;
  };
  const closing = async (device: Device) => {
    open.splice(open.indexOf(device), 1);
    if (device !== sharedDevice) await closeDevice(device);
  };
  const running = tuneKernels(opening, closing, given);
  const events: string[] = [];
  for (;;) {
    const next = await running.next();
    if (next.done) return { result: next.value, events };
    events.push(next.value.type);
    heard(next.value);
  }
}

/** Opens a device restricted to f32 tiles, which every device has. */
const plain = async (): Promise<Device> => {
  const device = await openDevice({ device: choice });
  Object.assign(device, { profile: { ...device.profile, shaderF16: false, subgroupMatrix: null } });
  return device;
};

const shared = async (): Promise<Device> => {
  sharedDevice ??= await plain();
  return sharedDevice;
};

describe('tuning', () => {
  /** A clock whose every reading comes `factor` times as long after the last as that came after the one before. */
  const clock = (factor: number) => {
    let [ms, step] = [0, 1000];
    return () => {
      step *= factor;
      ms += step;
      return ms;
    };
  };

  it('measures the default and the candidates, and names the fastest', async () => {
    const { result, events } = await tune(shared, { ...options, now: clock(0.99) });
    expect(events).toEqual(['start', 'tried', 'tried']);
    expect(result.tried.map((t) => [t.kind, t.tile, t.reason])).toEqual([
      ['simt', DEFAULT_SIMT_TILE, null],
      ['simt', SMALL, null],
    ]);
    const [first, second] = result.tried.map((t) => t.gflops as number);
    expect(first).toBeGreaterThan(0);
    expect(second).toBeGreaterThan(first as number);
    expect(result.tiles).toEqual({ simt: SMALL });
  });

  it('keeps the default where a candidate is slower, and leaves one that is much slower at once', async () => {
    const slower = await tune(shared, { ...options, now: clock(1.001) });
    expect(slower.result.tried.map((t) => t.reason)).toEqual([null, null]);
    expect(slower.result.tiles).toEqual({ simt: DEFAULT_SIMT_TILE });
    const { result } = await tune(shared, { ...options, now: clock(1.1) });
    expect(result.tried.map((t) => t.reason)).toEqual([null, 'left after 1 of 2 products']);
    expect(result.tiles).toEqual({ simt: DEFAULT_SIMT_TILE });
  });

  it('never takes a tile whose sums are wrong, anywhere or by vectors alone, and goes on with a fresh device', async () => {
    let devices = 0;
    const counted = async (): Promise<Device> => {
      devices++;
      return plain();
    };
    const { result } = await sabotaged(() => tune(counted, options));
    expect(result.tried.map((t) => [t.tile, t.reason])).toEqual([
      [DEFAULT_SIMT_TILE, 'wrong sums (nt 70x67x69)'],
      [SMALL, 'wrong sums (nt 70x68x136)'],
    ]);
    expect(result.tiles).toEqual({});
    expect(devices).toBe(3);
  });

  it('stops when it is told to', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(tune(shared, { ...options, signal })).rejects.toThrow('enough');
    await expect(tune(shared, { ...options, budgetMs: -1 })).rejects.toThrow('give it more time');
  });

  it('keeps what it has found when time ends or a signal comes, and counts what it has not tried', async () => {
    let ms = 0;
    const stop = new AbortController();
    for (const [given, end] of [
      [{ budgetMs: 1e6, now: () => (ms += 100) }, () => (ms = 1e6 + 1)],
      [{ signal: stop.signal }, () => stop.abort()],
    ] as const) {
      const { result } = await tune(shared, { ...options, ...given }, ({ type }) => type === 'tried' && end());
      expect(result.tried.map((t) => t.tile)).toEqual([DEFAULT_SIMT_TILE]);
      expect(result).toMatchObject({ tiles: { simt: DEFAULT_SIMT_TILE }, untried: 1 });
    }
  });

  it('knows only tiles that a large GPU can take, mostly', () => {
    const profile = KNOWN_PROFILES.nvidia as DeviceProfile;
    for (const kind of TILE_KINDS) {
      const usable = knownTiles(kind).filter((tile) => tileProblem(profile, kind, tile as never) === null);
      expect(usable.length).toBeGreaterThan(10);
    }
  });
});

/** Runs `body` while the default tile sums wrongly, and other tiles sum wrongly where they read by vectors. */
async function sabotaged<T>(body: () => Promise<T>): Promise<T> {
  const library = loadShaders();
  const link = library.link.bind(library);
  library.link = async (spec) => {
    const linked = await link(spec);
    if (spec.name !== 'matmul_simt') return linked;
    const code =
      spec.constants?.BM === DEFAULT_SIMT_TILE.BM
        ? linked.code.replace(/left\.x \* right/, '-left.x * right')
        : linked.code.replace(/bits_b\(b\[\(at \+ [^\]]*\) \/ 4u\]\)/, 'bits_b(b[0])');
    return { ...linked, code };
  };
  return body().finally(() => {
    library.link = link;
  });
}
