/** Token embedding as an op. */
import type { Tensor } from '../../gpu/tensor.ts';
import { embeddingBwd, embeddingFwd } from '../../kernels/embedding.ts';
import { type DenseWeight, shardsOf } from '../weight.ts';
import { type OpContext, output } from './context.ts';

/** ids (T) u32 -> rows of the table (V, C), widened to f32 and multiplied by `scale`. */
export function embed(ctx: OpContext, ids: Tensor, table: DenseWeight, scale = 1): Tensor {
  const { tape } = ctx;
  const T = ctx.B * ctx.S;
  const shape = { T, C: table.in, scale };
  const y = output(tape, 'embed.y', [T, table.in], [table.tensor]);
  const shards = shardsOf(tape, table, ctx.computeDtype);
  for (const { row0, rows } of shards) {
    embeddingFwd(tape, { ...shape, row0, rows, ids, table: table.tensor.rows(row0, rows), y });
  }
  tape.onBackward([y], () => {
    const { grad } = tape.gradTarget(table.tensor);
    for (const { row0, rows } of shards) {
      embeddingBwd(tape, { ...shape, row0, rows, ids, dy: tape.gradOf(y), dtable: grad.rows(row0, rows) });
    }
  });
  return y;
}
