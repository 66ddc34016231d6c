/** Names a variant of a shader file: dispatches carry it, and the shader library links it. */

/** A shader file with its variant chosen: `when` names the true `@if` conditions, `constants` the `constants::NAME` values. */
export type KernelSpec = {
  readonly name: string;
  readonly when?: readonly string[];
  readonly constants?: Readonly<Record<string, number>>;
};
