/** Recorded commands as the model of a step takes them: which pipelines there are, and equal dispatches, counted. */

/**
 * @import { Dispatches, PipelineSpec } from './types.d.ts'
 * @typedef {import('#dist/gpu/command.js').DispatchCommand} DispatchCommand
 */

/** @param {readonly DispatchCommand[]} commands @returns {PipelineSpec[]} */
export function pipelinesOf(commands) {
  const specs = new Map(
    commands.map(({ kernel: { key, spec } }) => [
      key,
      { key, kernel: spec.name, when: spec.when ?? [], constants: spec.constants ?? {} },
    ]),
  );
  return [...specs.values()];
}

/** @param {DispatchCommand} command @returns {Dispatches} */
function described({ kernel, params, grid, bindings }) {
  const view = new DataView(params.buffer, params.byteOffset, params.byteLength);
  const values = kernel.params.map(({ name, type }, i) => [
    name,
    type === 'f32' ? view.getFloat32(4 * i, true) : view.getUint32(4 * i, true),
  ]);
  const nameOf = new Map(kernel.bindings.map(({ index, name }) => [index, name]));
  return {
    key: kernel.key,
    params: Object.fromEntries(values),
    workgroups: grid[0] * grid[1],
    bindings: bindings.map(({ index, tensor, writable }) => ({
      name: nameOf.get(index) ?? '',
      dtype: tensor.dtype,
      shape: tensor.shape,
      bytes: tensor.bytes,
      writable,
    })),
    count: 1,
  };
}

/** Counts equal ones. @param {readonly Dispatches[]} dispatches @returns {Dispatches[]} */
function counted(dispatches) {
  /** @type {Map<string, Dispatches>} */
  const found = new Map();
  for (const dispatch of dispatches) {
    const key = JSON.stringify(dispatch);
    const known = found.get(key);
    found.set(key, known === undefined ? dispatch : { ...known, count: known.count + 1 });
  }
  return [...found.values()];
}

/** @param {readonly DispatchCommand[]} commands @returns {Dispatches[]} */
export const dispatchesOf = (commands) => counted(commands.map(described));
