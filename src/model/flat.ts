/**
 * Trainable tensors in flat buffers: parameters and gradients, each tensor at the same offset in both, so that zeroing,
 * norm and update are ranges. A segment is a pair of flat buffers that can be bound whole, all of whose tensors are
 * updated alike.
 */
import { DeviceError } from '../errors.ts';
import { elementCount } from '../formats/dtype.ts';
import type { Category } from '../gpu/category.ts';
import { alignUp, BINDING_ALIGNMENT } from '../gpu/device-profile.ts';
import type { Residents } from '../gpu/residents.ts';
import { Tensor } from '../gpu/tensor.ts';
import { isDecayed } from './decay.ts';

export type TrainableSpec = {
  readonly name: string;
  readonly shape: readonly number[];
};

/** How a tensor is updated, as far as tensors differ in it. */
export type UpdateGroup = {
  /** Whether weight decay applies. */
  readonly decay: boolean;
  /** Factor on the learning rate. */
  readonly rate: number;
  /** Bits of a value of the optimizer's state. */
  readonly bits: 8 | 32;
};

/** Elements that a tensor of a group begins at a multiple of. */
export const GROUP_ALIGNMENT: Readonly<Record<UpdateGroup['bits'], number>> = {
  32: BINDING_ALIGNMENT / 4,
  // a block of the state, so that the blocks of a tensor are those of its segment
  8: 256,
};

/** A trained tensor with its gradient, each a part of its segment's. */
export type Trainable = TrainableSpec & {
  readonly param: Tensor;
  readonly grad: Tensor;
  /** Index of its segment, and of its first element there. */
  readonly segment: number;
  readonly start: number;
};

/** The flat tensors of one segment, f32, padding included (it stays zero). */
export type Segment = {
  readonly group: UpdateGroup;
  readonly param: Tensor;
  readonly grad: Tensor;
};

export type FlatParameters = {
  readonly tensors: ReadonlyMap<string, Trainable>;
  readonly segments: readonly Segment[];
};

export type GroupOf = (spec: TrainableSpec) => UpdateGroup;

/** Tensors that differ in their decay alone. */
export const byDecay: GroupOf = ({ name }) => ({ decay: isDecayed(name), rate: 1, bits: 32 });

const F32_BYTES = 4;

type Draft = {
  group: UpdateGroup;
  bytes: number;
  padding: number;
  specs: { spec: TrainableSpec; byteOffset: number }[];
};

/**
 * Allocates parameters and gradients of `specs`.
 * @param category memory category of the parameters: `adapter`, or `base_weights` in full training
 * @throws DeviceError where a tensor is larger than a binding
 */
export function allocateFlat(
  residents: Residents,
  specs: readonly TrainableSpec[],
  { category, maxBindingBytes, groupOf }: { category: Category; maxBindingBytes: number; groupOf: GroupOf },
): FlatParameters {
  const tensors = new Map<string, Trainable>();
  const segments = draftSegments(specs, groupOf, maxBindingBytes).map((draft, i): Segment => {
    const flat = (label: string, of: Category): Tensor => {
      const storage = residents.storage({
        label: `${label}[${i}]`,
        category: of,
        bytes: draft.bytes,
        paddingBytes: draft.padding,
      });
      return new Tensor({ label: storage.label, shape: [draft.bytes / F32_BYTES], dtype: 'f32', storage });
    };
    const segment = { group: draft.group, param: flat('param', category), grad: flat('grad', 'gradients') };
    for (const { spec, byteOffset } of draft.specs) {
      const at = { shape: spec.shape, dtype: 'f32' as const, byteOffset };
      const param = new Tensor({ ...at, label: spec.name, storage: segment.param.storage, requiresGrad: true });
      const grad = new Tensor({ ...at, label: `d_${spec.name}`, storage: segment.grad.storage });
      tensors.set(spec.name, { ...spec, param, grad, segment: i, start: byteOffset / F32_BYTES });
    }
    return segment;
  });
  return { tensors, segments };
}

function draftSegments(specs: readonly TrainableSpec[], groupOf: GroupOf, maxBindingBytes: number): Draft[] {
  const drafts: Draft[] = [];
  const groups = new Map<string, { group: UpdateGroup; of: TrainableSpec[] }>();
  for (const spec of specs) {
    const group = groupOf(spec);
    const key = JSON.stringify(group);
    const known = groups.get(key) ?? { group, of: [] };
    known.of.push(spec);
    groups.set(key, known);
  }
  // decayed ones first; those of one kind keep the order of the model
  const ordered = [...groups.values()].sort((a, b) => Number(b.group.decay) - Number(a.group.decay));
  for (const { of, group } of ordered) {
    const alignment = F32_BYTES * GROUP_ALIGNMENT[group.bits];
    let open: Draft | null = null;
    for (const spec of of) {
      const bytes = F32_BYTES * elementCount(spec.shape);
      const padded = alignUp(bytes, alignment);
      if (padded > maxBindingBytes) {
        throw new DeviceError(
          `${spec.name} has ${bytes} bytes to train, this device binds ${maxBindingBytes} at once: train with lora or qlora`,
        );
      }
      if (open === null || open.bytes + padded > maxBindingBytes) {
        open = { group, bytes: 0, padding: 0, specs: [] };
        drafts.push(open);
      }
      open.specs.push({ spec, byteOffset: open.bytes });
      open.bytes += padded;
      open.padding += padded - bytes;
    }
  }
  return drafts;
}
