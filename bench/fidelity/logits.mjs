/** Logits of an engine's model, which a training run never makes. */
import { Arena } from '#dist/gpu/arena.js';
import { makePlan } from '#dist/gpu/plan.js';
import { Program, preparePlan } from '#dist/gpu/program.js';
import { Tape } from '#dist/gpu/tape.js';
import { decoderHidden } from '#dist/model/decoder.js';
import { headLogits } from '#dist/model/ops/cross-entropy.js';

/**
 * (B * S, V) of the head over the final hidden states, which a loss never holds whole.
 * @param {import('#dist/train/engine.js').Engine} engine
 * @param {readonly number[]} ids
 * @param {{ B: number, S: number }} shape
 */
export async function logitsOf(engine, ids, shape) {
  const { device, memory } = engine;
  const { allocator, residents, profile, shaders, declared } = memory.parts;
  const tape = new Tape({ profile, shaders, step: memory.inputs.step });
  /** @type {import('#dist/model/ops/context.js').OpContext} */
  const ctx = { tape, computeDtype: 'f32', ...shape, dropout: 'eval' };
  const { head } = declared.model;
  const hidden = decoderHidden(ctx, declared.model, memory.inputs.ids.slice(0, ids.length));
  const rows = [ids.length, head.weight.out];
  const y = residents.tensor({ label: 'logits', shape: rows, dtype: 'f32', category: 'logits' });
  headLogits(ctx, hidden, head, y);
  const plan = makePlan('logits', tape.commands);
  const arena = new Arena(allocator, [plan]);
  const prepared = preparePlan(plan, allocator);
  const program = await Program.compile(device, prepared, { residents, arena });
  // the bits of u32 ids, as they are
  engine.writeTensor(memory.inputs.ids, new Float32Array(Uint32Array.from(ids).buffer));
  await device.guarded('logits', async () => {
    program.run();
    await device.gpu.queue.onSubmittedWorkDone();
  });
  const values = await engine.readTensor(y);
  arena.destroy();
  allocator.free(prepared.params);
  return values;
}
