/** A suite as one file: what flags and variables said stands in it, and inputs have the names that others know them by. */
import { isMap, isScalar, type Pair, parseDocument, visit, type YAMLMap } from 'yaml';
import { envLayer, flagLayer } from './layers.ts';
import { ALIASES, isSettingKey } from './names.ts';
import type { SettingKey } from './settings.ts';
import type { SuiteSources } from './suite.ts';

/** Keys whose values may look like a path of an input, and are none. */
const NOT_A_PATH = /^(suite|description|baseline|name|split|revision)$|_split$/;

/**
 * Writes the text of a suite that needs no flag and no variable. Comments stay.
 * @param renamed what stands for each path of an input
 */
export function suiteText({ file, env = {}, flags = {} }: SuiteSources, renamed: ReadonlyMap<string, string>): string {
  const document = parseDocument(file.text, { uniqueKeys: false });
  const given = new Map([...envLayer(env).entries, ...flagLayer(flags).entries]);
  const base = document.get('base');
  if (isMap(base))
    base.items = base.items.filter(({ key }: Pair) => {
      const setting = settingOf(isScalar(key) ? String(key.value) : '');
      return setting === undefined || !given.has(setting);
    });
  else if (given.size > 0) document.set('base', document.createNode({}));
  for (const [key, { value }] of given) (document.get('base') as YAMLMap).set(key, document.createNode(value));
  visit(document, {
    Pair: (_, { key }) => (isScalar(key) && NOT_A_PATH.test(String(key.value)) ? visit.SKIP : undefined),
    Scalar: (position, node) => {
      const name = position !== 'key' && typeof node.value === 'string' ? renamed.get(node.value) : undefined;
      if (name !== undefined) node.value = name;
    },
  });
  return document.toString({ lineWidth: 0 });
}

function settingOf(name: string): SettingKey | undefined {
  return isSettingKey(name) ? name : ALIASES.get(name)?.to;
}
