/** Modules with parameters, by the names PyTorch gives them, and the tensors they are in a checkpoint. */

/** nn.Linear: weight (out, in), and a bias (out) where it has one. */
export type LinearModule = {
  readonly kind: 'linear';
  readonly name: string;
  readonly out: number;
  readonly in: number;
  readonly bias: boolean;
};
/** nn.Embedding: weight (out rows, in). */
type EmbeddingModule = {
  readonly kind: 'embedding';
  readonly name: string;
  readonly out: number;
  readonly in: number;
};
/** RMSNorm: weight (width). */
export type NormModule = { readonly kind: 'norm'; readonly name: string; readonly width: number };
export type Module = LinearModule | EmbeddingModule | NormModule;

/** A parameter as a checkpoint holds it. */
export type Parameter = {
  readonly name: string;
  readonly shape: readonly number[];
  readonly module: Module;
};

/** Lists a module's weight and, where it has one, its bias. */
export function parametersOfModule(module: Module): Parameter[] {
  const weight = `${module.name}.weight`;
  if (module.kind === 'norm') return [{ name: weight, shape: [module.width], module }];
  const matrix = { name: weight, shape: [module.out, module.in], module };
  if (module.kind === 'embedding' || !module.bias) return [matrix];
  return [matrix, { name: `${module.name}.bias`, shape: [module.out], module }];
}
