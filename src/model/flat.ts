/**
 * Trainable tensors in flat buffers: parameters, gradients and both Adam moments, each tensor at the same offset in all
 * four, so that zeroing, norm and update are ranges. A segment is a set of flat buffers that can be bound whole.
 */
import { DeviceError } from '../errors.ts';
import { elementCount } from '../formats/dtype.ts';
import type { Category } from '../gpu/category.ts';
import { alignUp } from '../gpu/device-profile.ts';
import type { Residents } from '../gpu/residents.ts';
import { Tensor } from '../gpu/tensor.ts';
import { isDecayed } from './decay.ts';

export type TrainableSpec = {
  readonly name: string;
  readonly shape: readonly number[];
};

/** A trained tensor with its gradient and Adam's moments, each a part of its segment's. */
export type Trainable = TrainableSpec & {
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
};

/** The flat tensors of one segment, f32, padding included (it stays zero). */
export type Segment = {
  /** Whether weight decay applies to the segment. */
  readonly decay: boolean;
  readonly param: Tensor;
  readonly grad: Tensor;
  readonly m: Tensor;
  readonly v: Tensor;
};

export type FlatParameters = {
  readonly tensors: ReadonlyMap<string, Trainable>;
  readonly segments: readonly Segment[];
};

const F32_BYTES = 4;

type Draft = { decay: boolean; bytes: number; padding: number; specs: { spec: TrainableSpec; byteOffset: number }[] };

/**
 * Allocates parameters, gradients and moments of `specs`.
 * @param category memory category of the parameters: `adapter`, or `base_weights` in full training
 * @throws DeviceError where a tensor is larger than a binding
 */
export function allocateFlat(
  residents: Residents,
  specs: readonly TrainableSpec[],
  category: Category,
  maxBindingBytes: number,
): FlatParameters {
  const tensors = new Map<string, Trainable>();
  const segments = draftSegments(specs, maxBindingBytes).map((draft, i): Segment => {
    const flat = (label: string, of: Category): Tensor => {
      const storage = residents.storage({
        label: `${label}[${i}]`,
        category: of,
        bytes: draft.bytes,
        paddingBytes: draft.padding,
      });
      return new Tensor({ label: storage.label, shape: [draft.bytes / F32_BYTES], dtype: 'f32', storage });
    };
    const segment = {
      decay: draft.decay,
      param: flat('param', category),
      grad: flat('grad', 'gradients'),
      m: flat('adam_m', 'optimizer'),
      v: flat('adam_v', 'optimizer'),
    };
    for (const { spec, byteOffset } of draft.specs) {
      const at = { shape: spec.shape, dtype: 'f32' as const, byteOffset };
      const param = new Tensor({ ...at, label: spec.name, storage: segment.param.storage, requiresGrad: true });
      const grad = new Tensor({ ...at, label: `d_${spec.name}`, storage: segment.grad.storage });
      const m = new Tensor({ ...at, label: `m_${spec.name}`, storage: segment.m.storage });
      const v = new Tensor({ ...at, label: `v_${spec.name}`, storage: segment.v.storage });
      tensors.set(spec.name, { ...spec, param, grad, m, v });
    }
    return segment;
  });
  return { tensors, segments };
}

function draftSegments(specs: readonly TrainableSpec[], maxBindingBytes: number): Draft[] {
  const drafts: Draft[] = [];
  for (const decay of [true, false]) {
    let open: Draft | null = null;
    for (const spec of specs.filter(({ name }) => isDecayed(name) === decay)) {
      const bytes = F32_BYTES * elementCount(spec.shape);
      const padded = alignUp(bytes);
      if (padded > maxBindingBytes) {
        throw new DeviceError(
          `${spec.name} has ${bytes} bytes to train, this device binds ${maxBindingBytes} at once: train with lora or qlora`,
        );
      }
      if (open === null || open.bytes + padded > maxBindingBytes) {
        open = { decay, bytes: 0, padding: 0, specs: [] };
        drafts.push(open);
      }
      open.specs.push({ spec, byteOffset: open.bytes });
      open.bytes += padded;
      open.padding += padded - bytes;
    }
  }
  return drafts;
}
