/** What an adapter file has to know of its base model: the modules it can sit on, by the names PyTorch gives them. */

export type BaseLinear = {
  readonly kind: 'linear';
  readonly name: string;
  readonly out: number;
  readonly in: number;
  readonly bias: boolean;
};
export type BaseEmbedding = {
  readonly kind: 'embedding';
  readonly name: string;
  readonly out: number;
  readonly in: number;
};
export type BaseNorm = { readonly kind: 'norm'; readonly name: string; readonly width: number };
export type BaseModule = BaseLinear | BaseEmbedding | BaseNorm;

export type AdapterBase = {
  /** Every module with parameters, in the order of named_modules; the output embedding too where it is tied. */
  readonly modules: readonly BaseModule[];
  /** Full names of the modules that turn tokens into hidden states, and hidden states into logits. */
  readonly inputEmbedding: string;
  readonly outputEmbedding: string;
  /** The two share their weight. */
  readonly tied: boolean;
  /** What is adapted where target_modules says nothing; null where PEFT has no default for the architecture. */
  readonly defaultTargets: readonly string[] | null;
};

/** A parameter as the checkpoint names it. */
export type BaseParameter = { readonly name: string; readonly shape: readonly number[]; readonly module: BaseModule };

export function parametersOfModule(module: BaseModule): BaseParameter[] {
  const weight = `${module.name}.weight`;
  if (module.kind === 'norm') return [{ name: weight, shape: [module.width], module }];
  const matrix = { name: weight, shape: [module.out, module.in], module };
  if (module.kind === 'embedding' || !module.bias) return [matrix];
  return [matrix, { name: `${module.name}.bias`, shape: [module.out], module }];
}

/** `name` is `ending`, or ends in it at a dot. */
export function endsInPath(name: string, ending: string): boolean {
  return name === ending || name.endsWith(`.${ending}`);
}

export function lastSegment(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1);
}
