/** What AutoTokenizer.from_pretrained of transformers 5.24 makes of a model's directory. */

import { show } from '../../config/show.ts';
import { DataError } from '../../errors.ts';

import { type AddedToken, addedTokenOf } from './added-tokens.ts';
import { BACKEND, tokenizerClassOf } from './auto-class.ts';
import type { TokenizerFiles } from './files.ts';
import { Pipeline } from './pipeline.ts';
import { NotFollowed } from './read.ts';
import { differences, rebuilt } from './rebuilt.ts';
import {
  addedTokenParts,
  contentOf,
  isSame,
  missingTokens,
  readSpecialTokens,
  type SpecialTokens,
  specialToken,
} from './special-tokens.ts';

/** Tokens that a note names before it counts the rest. */
const NAMED_IN_NOTE = 5;

export type AutoTokenizer = {
  readonly pipeline: Pipeline;
  /** Id of bos_token, eos_token, pad_token and so on; null where the files name none. */
  idOf(key: string): number | null;
  /** Texts of bos_token, eos_token and so on, and of the names that only this model has. */
  readonly named: ReadonlyMap<string, string>;
  /** What a person should know: where transformers' ids are not those that a file asks for. */
  readonly notes: readonly string[];
};

/** @throws DataError */
export function openAutoTokenizer(files: TokenizerFiles): AutoTokenizer {
  refuseSettings(files);
  const name = tokenizerClassOf(files);
  const parts = addedTokenParts(files);
  const wanted = parts.map((part) => ({ id: part.id('id'), token: addedTokenOf(part) }));
  const json = name === BACKEND ? files.tokenizer : rebuilt(name, files);
  const pipeline = new Pipeline(json, files.places.tokenizer);
  const present = name === BACKEND ? wanted.map(({ token }) => token) : [];
  pipeline.added.add(present);
  const tokens = readSpecialTokens(files, name);
  pipeline.added.add(missingTokens(tokens, present));
  if (name === 'Qwen2Tokenizer') pipeline.added.add(allSpecial(tokens));
  refuseCollision(pipeline, files);
  const idOf = (key: string): number | null => {
    const token = tokens.named.get(key);
    return token === undefined ? null : (pipeline.added.idOf(contentOf(token)) ?? null);
  };
  const notes = [
    ...(name === BACKEND ? [] : rebuiltNote(name, differences(files.tokenizer, json), files)),
    ...droppedNote(
      wanted.map(({ token }) => token),
      pipeline,
      files,
    ),
    ...besideNotes(
      wanted.map(({ token }) => token),
      pipeline,
      files,
    ),
    ...movedNote(wanted, tokens, pipeline, files),
    ...aroundNotes(pipeline, idOf, files),
  ];
  const named = new Map(Array.from(tokens.named, ([key, token]) => [key, contentOf(token)]));
  return { pipeline, idOf, named, notes };
}

/** Settings of tokenizer_config.json that change ids in transformers and are not followed here. */
function refuseSettings({ config, places }: TokenizerFiles): void {
  const refuse = (key: string, why: string): void => {
    throw new NotFollowed(places.config, `${key} is ${show(config[key])}, ${why}`);
  };
  if (config.split_special_tokens === true) refuse('split_special_tokens', 'which cuts special tokens into characters');
  if (config.fix_mistral_regex === true) refuse('fix_mistral_regex', 'which puts another pattern into tokenizer.json');
  const versions = config.fast_tokenizer_files;
  if (Array.isArray(versions) && versions.some((file) => file !== 'tokenizer.json'))
    refuse('fast_tokenizer_files', 'which names files for versions of transformers');
}

function allSpecial({ named, extra }: SpecialTokens): AddedToken[] {
  return [...new Set([...named.values(), ...extra].map(contentOf))].map(specialToken);
}

function refuseCollision(pipeline: Pipeline, { places }: TokenizerFiles): void {
  const found = pipeline.collision();
  if (found === null) return;
  const [added, token, id] = found;
  throw new DataError(
    places.tokenizer,
    `the added token ${show(added.content)} would take id ${id}, which ${show(token)} has: ids are counted on from the size of the ` +
      'vocabulary, and this one has gaps. Put the token into model.vocab.',
  );
}

function rebuiltNote(name: string, differing: readonly string[], { places }: TokenizerFiles): string[] {
  if (differing.length === 0) return [];
  return [
    `${places.tokenizer}: ${differing.join(', ')} ${differing.length === 1 ? 'is' : 'are'} not followed: transformers 5 gives ${name} parts ` +
      'of its own instead, and ids are its',
  ];
}

/** Added tokens of tokenizer.json that a rebuilt class does not take over. */
function droppedNote(wanted: readonly AddedToken[], pipeline: Pipeline, { places }: TokenizerFiles): string[] {
  const present = new Set(Array.from(pipeline.added.entries(), ([, { content }]) => content));
  const dropped = wanted.filter(({ content }) => !present.has(content)).map(({ content }) => show(content));
  if (dropped.length === 0) return [];
  return [
    `${places.tokenizer}: the added tokens ${listed(dropped)} are none: transformers 5 goes by added_tokens_decoder of ${places.config}`,
  ];
}

/** Tokens that only other files or the class name, and those that they give other flags. */
function besideNotes(wanted: readonly AddedToken[], pipeline: Pipeline, { places }: TokenizerFiles): string[] {
  const ofFile = new Map(wanted.map((token) => [token.content, token]));
  const [more, changed]: [string[], string[]] = [[], []];
  for (const [, token] of pipeline.added.entries()) {
    const known = ofFile.get(token.content);
    if (known === undefined) more.push(show(token.content));
    else if (!isSame(known, token)) changed.push(show(token.content));
  }
  const of = (tokens: readonly string[], what: string): string[] =>
    tokens.length === 0 ? [] : [`${places.tokenizer}: ${what} ${listed(tokens)}, as transformers has it`];
  return [
    ...of(more, 'beside its added tokens, the files next to it or the class of the tokenizer name'),
    ...of(changed, 'the files next to it or the class of the tokenizer change the flags of'),
  ];
}

/** Tokens with another id than the files say: only the order of the files counts. */
function movedNote(
  wanted: readonly { readonly id: number; readonly token: AddedToken }[],
  { listed: byIndex }: SpecialTokens,
  pipeline: Pipeline,
  { places }: TokenizerFiles,
): string[] {
  const asked = new Map([...byIndex].map(([index, { content }]) => [content, index]));
  for (const { id, token } of wanted) asked.set(token.content, id);
  const moved: string[] = [];
  for (const [content, index] of asked) {
    const id = pipeline.added.idOf(content);
    if (id !== undefined && id !== index) moved.push(`${show(content)} has ${id} and not ${index}`);
  }
  if (moved.length === 0) return [];
  return [
    `${places.tokenizer}: of the added tokens, ${listed(moved)}: ids are counted on behind the vocabulary, in the order of the files`,
  ];
}

/** add_bos_token and add_eos_token, which transformers 5 does not read beside a tokenizer.json. */
function aroundNotes(
  pipeline: Pipeline,
  idOf: (key: string) => number | null,
  { config, places }: TokenizerFiles,
): string[] {
  const around = pipeline.around();
  return ['bos', 'eos'].flatMap((which) => {
    const asked = config[`add_${which}_token`];
    const id = idOf(`${which}_token`);
    const added = id !== null && around.includes(id);
    if (typeof asked !== 'boolean' || asked === added) return [];
    return [
      `${places.config}: add_${which}_token is ${asked}, which transformers 5 does not follow beside a tokenizer.json: its post_processor ` +
        `${added ? 'adds' : 'does not add'} the token`,
    ];
  });
}

function listed(items: readonly string[]): string {
  const rest = items.length - NAMED_IN_NOTE;
  return `${items.slice(0, NAMED_IN_NOTE).join(', ')}${rest > 0 ? ` and ${rest} more` : ''}`;
}
