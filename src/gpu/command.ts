/** What a recorded phase consists of: dispatches, copies and clears over symbolic tensors. */
import type { KernelInterface } from './kernel.ts';
import type { Tensor } from './tensor.ts';

export type BoundTensor = { readonly index: number; readonly tensor: Tensor; readonly writable: boolean };

export type DispatchCommand = {
  readonly kind: 'dispatch';
  readonly kernel: KernelInterface;
  readonly params: Uint8Array;
  readonly bindings: readonly BoundTensor[];
  /** Workgroups along x and y. */
  readonly grid: readonly [number, number];
};
export type CopyCommand = { readonly kind: 'copy'; readonly from: Tensor; readonly to: Tensor };
export type ClearCommand = { readonly kind: 'clear'; readonly tensor: Tensor };
export type Command = DispatchCommand | CopyCommand | ClearCommand;
