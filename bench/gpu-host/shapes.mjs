#!/usr/bin/env node
/** Writes models of published shapes with random weights, whole or cut to fewer layers, which their folder's name then says. */
import path from 'node:path';
import { REFERENCE_MODELS, referenceConfig } from '#dist/estimate/reference-models.js';
import { count, readArguments, refuse } from '../shared/options.mjs';
import { writeRandomModel } from '../shared/training.mjs';

const USAGE = `usage: node bench/gpu-host/shapes.mjs FOLDER NAME[=LAYERS]...   prints the folders that it made, one a line
NAME is one of ${Object.keys(REFERENCE_MODELS).join(', ')}`;
const [folder, ...wanted] = readArguments(USAGE, {}).positionals;
for (const each of wanted) {
  const [name, layers] = each.split('=');
  if (!Object.hasOwn(REFERENCE_MODELS, name)) refuse(`got ${name}, wanted one of the models\n${USAGE}`);
  const config = referenceConfig(/** @type {keyof typeof REFERENCE_MODELS} */ (name));
  const cut = layers === undefined ? {} : { num_hidden_layers: count('layers', layers) };
  const model = path.join(folder, `${name.toLowerCase()}${layers === undefined ? '' : `-cut-to-${layers}-layers`}`);
  writeRandomModel(model, { ...config, ...cut });
  console.log(model);
}
