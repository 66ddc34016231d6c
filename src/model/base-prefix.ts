/** Checkpoints of the base model alone (AutoModel's), whose names lack the prefix that a model with a head gives them. */
import { renamed, type TensorSource } from '../formats/checkpoint.ts';
import { EMBEDDING, HEAD } from './modules.ts';

const PREFIX = 'model.';
const MARK = `${EMBEDDING}.weight`;

/** Views such a checkpoint under the full names, as transformers loads it; any other as it is. @param notes is told of it */
export function withPrefix(source: TensorSource, notes: string[]): TensorSource {
  if (source.has(MARK) || !source.has(MARK.slice(PREFIX.length))) return source;
  const isWhole = (name: string): boolean => name.startsWith(PREFIX) || name.startsWith(`${HEAD}.`);
  notes.push(
    `${source.root}: its tensors are those of the base model, read under the names of one with a head (${PREFIX}...)`,
  );
  return renamed(source, new Map(source.names().map((name) => [isWhole(name) ? name : `${PREFIX}${name}`, name])));
}
