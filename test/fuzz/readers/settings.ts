/** Settings of a run: from a file, the environment and flags at once, and suites of them. */
import fc from 'fast-check';
import { stringify } from 'yaml';
import { type SchemaNode, schemaOf } from '../../../src/config/describe.ts';
import { loadSuite, loadTrainConfig, printConfig, type ResolvedConfig } from '../../../src/config/index.ts';
import { ALIASES } from '../../../src/config/names.ts';
import { settingKeys, settings } from '../../../src/config/settings.ts';
import { UNSUPPORTED } from '../../../src/config/unsupported.ts';
import { bytesOf, damagedFile } from '../bytes.ts';
import { reader, require, requireEqual } from '../reader.ts';
import { anyValue, asText, type Json } from '../values.ts';

/** Values that fit a setting, by its own schema. */
function fitting(node: SchemaNode): fc.Arbitrary<Json> {
  if ('const' in node) return fc.constant(node.const as Json);
  if (node.enum) return fc.constantFrom(...(node.enum as Json[]));
  if (node.anyOf) return fc.oneof(...node.anyOf.map(fitting));
  if (node.type === 'boolean') return fc.boolean();
  if (node.type === 'integer') return fc.integer({ min: node.minimum ?? 0, max: Math.min(node.maximum ?? 4096, 4096) });
  if (node.type === 'number') return fc.double({ min: node.minimum ?? 0, max: node.maximum ?? 100, noNaN: true });
  if (node.type === 'array') return fc.array(fitting(node.items ?? {}), { maxLength: 4 });
  if (node.type === 'null') return fc.constant(null);
  if (node.properties)
    return fc.record(Object.fromEntries(Object.entries(node.properties).map(([key, part]) => [key, fitting(part)])), {
      requiredKeys: [],
    }) as fc.Arbitrary<Json>;
  if (node.type === 'object') return fc.dictionary(fc.string({ maxLength: 6 }), fc.integer({ min: 1, max: 64 }));
  return fc.constantFrom('lora', 'q_proj', 'all-linear', '.*v_proj', '40GB', 'rows.jsonl', 'none', 'auto', 'cosine');
}

type Setting = readonly [key: string, value: Json];

const setting: fc.Arbitrary<Setting> = fc.oneof(
  {
    weight: 8,
    arbitrary: fc.constantFrom(...settingKeys).chain((key) => pairOf(key, fitting(schemaOf(settings.shape[key])))),
  },
  { weight: 1, arbitrary: fc.constantFrom(...settingKeys).chain((key) => pairOf(key, anyValue)) },
  {
    weight: 1,
    arbitrary: fc.constantFrom(...ALIASES.keys(), ...UNSUPPORTED.keys()).chain((key) => pairOf(key, anyValue)),
  },
  { weight: 1, arbitrary: fc.tuple(fc.string({ maxLength: 20 }), anyValue) },
);

function pairOf(key: string, value: fc.Arbitrary<Json>): fc.Arbitrary<Setting> {
  return value.map((v) => [key, v] as const);
}

const NEEDED: Json = { model_name_or_path: './llama', datasets: [{ path: 'rows.jsonl' }] };
const mapping = fc
  .array(setting, { maxLength: 6 })
  .map((pairs) => ({ ...NEEDED, ...Object.fromEntries(pairs) }) as Record<string, Json>);

/** YAML as people write it, or JSON, which is YAML too. */
const yamlOf = (value: Json): string => {
  try {
    return stringify(value);
  } catch {
    return asText(value);
  }
};
const textOf = (value: fc.Arbitrary<Json>): fc.Arbitrary<string> =>
  fc
    .tuple(value, fc.boolean())
    .chain(([content, asJson]) => damagedFile(bytesOf(asJson ? asText(content) : yamlOf(content))))
    .map((bytes) => new TextDecoder().decode(bytes));

const asWords = (value: Json): string => (typeof value === 'string' ? value : asText(value)).slice(0, 200);
const words = fc
  .array(setting, { maxLength: 3 })
  .map((pairs) => pairs.map(([key, value]) => [key, asWords(value)] as const));

/** Reads what was printed of a configuration: the same values. */
export function requireRepeatable(config: ResolvedConfig): void {
  const { values } = config;
  require((values.method === 'qlora') === values.load_in_4bit, 'method and load_in_4bit disagree');
  require(values.compute_dtype === values.bnb_4bit_compute_dtype, 'the two spellings of compute_dtype disagree');
  require(values.method !== 'full' || values.adapter_name_or_path === null, 'full training of an adapter');
  for (const [key, value] of Object.entries(values))
    require(typeof value !== 'number' ||
      Number.isFinite(Math.fround(value)), `${key} is ${value}, not finite as float32`);
  const again = loadTrainConfig({ file: { path: 'printed.yaml', text: printConfig(config) } });
  requireEqual(again.values, values, 'the printed configuration reads otherwise');
}

type Sources = {
  readonly text: string;
  readonly env: readonly (readonly [string, string])[];
  readonly flags: readonly (readonly [string, string])[];
};

export const configReader = reader<Sources>({
  name: 'configuration (file, environment, flags)',
  share: 16,
  inputs: fc.record({ text: textOf(mapping), env: words, flags: words }),
  read: ({ text, env, flags }) => {
    const named = env.map(([key, value]) => [`NIBBLE_${key.toUpperCase()}`, value] as const);
    const config = loadTrainConfig({
      file: { path: 'run.yaml', text },
      env: Object.fromEntries(named),
      flags: Object.fromEntries(flags),
    });
    requireRepeatable(config);
  },
});

/** Mostly the one, now and then any value. */
const mostly = (value: fc.Arbitrary<Json>): fc.Arbitrary<Json> =>
  fc.oneof({ weight: 15, arbitrary: value }, { weight: 1, arbitrary: anyValue });

const armName = fc.oneof(
  { weight: 8, arbitrary: fc.constantFrom('lora', 'qlora', 'constructor', 'a-1', 'b_2') },
  { weight: 1, arbitrary: fc.oneof(fc.constantFrom('LORA', '__proto__', 'x/y', 'con'), fc.string({ maxLength: 8 })) },
);
const arm = mostly(
  fc.oneof(
    { weight: 2, arbitrary: fc.constantFrom<Json>({}, { method: 'qlora' }, { method: 'lora', dtype: 'float16' }) },
    { weight: 1, arbitrary: fc.array(setting, { maxLength: 2 }).map((pairs) => Object.fromEntries(pairs) as Json) },
  ),
);
const suite: fc.Arbitrary<Json> = fc
  .record(
    {
      suite: mostly(fc.constant('mine')),
      seeds: mostly(fc.uniqueArray(fc.nat(9), { minLength: 1, maxLength: 3 })),
      division: mostly(fc.constantFrom('closed', 'open')),
      base: mostly(fc.oneof({ weight: 2, arbitrary: fc.constant(NEEDED) }, mapping as fc.Arbitrary<Json>)),
      arms: mostly(fc.dictionary(armName, arm, { minKeys: 1, maxKeys: 4 })),
      more: fc.option(anyValue, { freq: 15 }),
    },
    { requiredKeys: ['suite', 'base', 'arms'] },
  )
  .map(({ more, ...rest }) => (more === null || more === undefined ? rest : { ...rest, more }) as Json);

export const suiteReader = reader<string>({
  name: 'suite',
  share: 8,
  inputs: textOf(suite),
  read: (text) => {
    const { cases, seeds, suite: name, division } = loadSuite({ file: { path: 'suite.yaml', text } });
    const arms = cases[0]?.arms ?? [];
    const names = [name, ...arms.map((arm) => arm.name)];
    for (const each of names) require(/^[A-Za-z0-9][\w.-]{0,99}$/.test(each), `${each} is no name for a folder`);
    require(arms.length > 0 &&
      new Set(names.slice(1).map((n) => n.toLowerCase())).size === arms.length, 'arms share a name');
    require(new Set(seeds).size === seeds.length && seeds.length > 0, 'seeds are not one each');
    for (const { config } of arms) {
      require(config.values.output_dir === 'trainer_output', 'an arm has its own output_dir');
      if (division === 'closed') require(config.values.lora_r === arms[0]?.config.values.lora_r, 'closed arms differ');
      requireRepeatable(config);
    }
  },
});
