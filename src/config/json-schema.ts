/** JSON Schemas of configuration files, for editors and other tools. */
import { type SchemaNode, schemaOf } from './describe.ts';
import { fileNameType } from './file-name.ts';
import { FOREIGN_NAMES } from './foreign.ts';
import { ALIASES, typeOf } from './names.ts';
import { settingKeys, settings } from './settings.ts';
import { suiteShape } from './suite-shape.ts';
import { UNSUPPORTED } from './unsupported.ts';

const DIALECT = 'https://json-schema.org/draft/2020-12/schema';

/** A JSON Schema document. */
export type JsonSchema = SchemaNode & {
  $schema?: string;
  title?: string;
  required?: string[];
  additionalProperties?: boolean | JsonSchema;
  properties?: Record<string, JsonSchema>;
  deprecated?: boolean;
  $ref?: string;
  minProperties?: number;
  propertyNames?: SchemaNode;
  $defs?: Record<string, JsonSchema>;
};

/**
 * Builds the schema of a training configuration. Nothing is required, because flags and the environment may add what a file
 * leaves out; rules between settings are only known to the loader.
 */
export function configJsonSchema(): JsonSchema {
  return { $schema: DIALECT, title: 'nibble training configuration', ...trainingKeys() };
}

/** Builds the schema of a benchmark suite: a base configuration and the arms that depart from it. */
export function suiteJsonSchema(): JsonSchema {
  const keys = Object.entries(suiteShape).map(([key, type]) => [key, schemaOf(type)] as const);
  const training: JsonSchema = { $ref: '#/$defs/training' };
  const axis: JsonSchema = {
    description: 'values of the setting that names the axis, or names of groups of settings',
    anyOf: [
      { type: 'array', items: {} },
      { type: 'object', additionalProperties: training },
    ],
  };
  const matrix: JsonSchema = { type: 'object', additionalProperties: axis };
  const arms: JsonSchema = {
    type: 'object',
    minProperties: 1,
    propertyNames: schemaOf(fileNameType),
    additionalProperties: training,
  };
  return {
    $schema: DIALECT,
    title: 'nibble benchmark suite',
    type: 'object',
    properties: { ...Object.fromEntries(keys), base: training, arms, matrix },
    required: ['suite'],
    anyOf: [{ required: ['arms'] }, { required: ['matrix'] }],
    additionalProperties: false,
    $defs: { training: trainingKeys() },
  };
}

function trainingKeys(): JsonSchema {
  const properties: Record<string, JsonSchema> = {};
  for (const key of settingKeys) properties[key] = schemaOf(settings.shape[key]);
  for (const [name, { to }] of ALIASES) {
    const { default: _, ...schema } = schemaOf(typeOf(name)!);
    // a recipe writes out what it leaves unset
    const orNothing = { anyOf: [schema, { type: 'null' }] };
    properties[name] = { ...orNothing, description: `read as ${to}`, deprecated: true };
  }
  for (const [name, accepted] of UNSUPPORTED)
    properties[name] = { enum: [...accepted], description: 'not supported yet', deprecated: true };
  for (const name of FOREIGN_NAMES)
    properties[name] = { description: 'taken from recipes of other trainers; nibble decides it', deprecated: true };
  return { type: 'object', properties, additionalProperties: false };
}
