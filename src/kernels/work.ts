/** Useful operations of recorded dispatches: those of products and of attention, which a GPU's TFLOP/s are counted by. */
import type { Command, DispatchCommand } from '../gpu/command.ts';

/** Products of an attention kernel for every pair of a query and a key, each of head dim multiplications and additions. */
const ATTENTION_PRODUCTS = { fwd: 2, dq: 3, dkv: 4 } as const;

/** Sums the operations of a plan, those that checkpointing does again among them. */
export function flopsOf(commands: readonly Command[]): number {
  return commands.reduce((sum, command) => sum + (command.kind === 'dispatch' ? dispatchFlops(command) : 0), 0);
}

/** Operations of one dispatch; half of all pairs of causal attention are masked, and not counted. */
function dispatchFlops({ kernel, params, bindings }: DispatchCommand): number {
  const { name, when = [] } = kernel.spec;
  const attention = attentionPart(name, when);
  const isProduct = (name.startsWith('matmul_') && name !== 'matmul_reduce') || name.startsWith('matvec_');
  if (attention === null && !isProduct) return 0;
  const value = valuesOf({ kernel, params });
  if (attention === null) return 2 * value('M') * value('N') * (value('K') + value('K2'));
  const at = kernel.bindings.find((binding) => binding.name === 'q')?.index;
  const q = bindings.find(({ index }) => index === at)?.tensor.elements ?? 0;
  // q is (B, S, H, D), so that q x S is B x H x S x S x D
  return ATTENTION_PRODUCTS[attention] * q * value('S');
}

function attentionPart(name: string, when: readonly string[]): 'fwd' | 'dq' | 'dkv' | null {
  if (name.startsWith('attention_fwd')) return 'fwd';
  if (!name.startsWith('attention_bwd')) return null;
  return when.includes('BY_KEY') || name.includes('dkv') ? 'dkv' : 'dq';
}

/** Reads whole numbers among the Params of a dispatch; 0 for a name that its kernel does not have. */
function valuesOf({ kernel, params }: Pick<DispatchCommand, 'kernel' | 'params'>): (name: string) => number {
  const view = new DataView(params.buffer, params.byteOffset, params.byteLength);
  return (name) => {
    const at = kernel.params.findIndex((param) => param.name === name);
    return at < 0 ? 0 : view.getUint32(4 * at, true);
  };
}
