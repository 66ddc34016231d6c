#!/usr/bin/env node
/**
 * `shapes.mjs FOLDER NAME[=LAYERS]...` writes models of published shapes with random weights, whole or cut to fewer
 * layers, which their folder's name then says, and prints the folders, one a line.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { REFERENCE_MODELS, referenceConfig } from '#dist/estimate/reference-models.js';

const [folder, ...wanted] = process.argv.slice(2);
for (const each of wanted) {
  const [name, layers] = each.split('=');
  if (!Object.hasOwn(REFERENCE_MODELS, name)) {
    console.error(`gpu-host-shapes: ${name} is none of ${Object.keys(REFERENCE_MODELS).join(', ')}`);
    process.exit(2);
  }
  const config = referenceConfig(name);
  if (layers !== undefined) config.num_hidden_layers = Number(layers);
  const model = path.join(folder, `${name.toLowerCase()}${layers === undefined ? '' : `-cut-to-${layers}-layers`}`);
  mkdirSync(model, { recursive: true });
  writeFileSync(path.join(model, 'config.json'), `${JSON.stringify(config, null, 2)}\n`);
  writeFileSync(path.join(model, 'random_weights.json'), `${JSON.stringify({ seed: 0, std: 0.02 })}\n`);
  console.log(model);
}
