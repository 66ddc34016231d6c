/** What a driver wrote of one pipeline, read: the compiler's figures by common names, its assembly, and the workgroup's shape. */
import { existsSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { DataError } from '../from-nibble.mjs';
import { parseAco } from './aco.mjs';
import { parseAgx } from './agx.mjs';
import { parseIr3 } from './ir3.mjs';
import { parseNak } from './nak.mjs';
import { statisticsOf } from './statistics.mjs';

/** @import { Chip, Pipeline, Program } from '../types.d.ts' */

/** @type {Readonly<Record<Chip['compiler'], { assembly: string, parse: (text: string) => Program }>>} */
const READERS = {
  nak: { assembly: '.0.1.ir', parse: parseNak },
  aco: { assembly: '.0.2.ir', parse: parseAco },
  agx: { assembly: '.log', parse: parseAgx },
  ir3: { assembly: '.0.2.ir', parse: parseIr3 },
};

/**
 * @param {string} folder where the statistics layer wrote
 * @param {string} tag
 * @param {Chip} chip
 * @returns {Pipeline}
 * @throws DataError where the driver told less than it is known to
 */
export function readPipeline(folder, tag, chip) {
  const { assembly, parse } = READERS[chip.compiler];
  const file = (/** @type {string} */ ending) => {
    const place = path.join(folder, `${tag}${ending}`);
    if (existsSync(place)) return readFileSync(place, 'utf8');
    throw new DataError(place, 'the driver did not write it: is its Mesa another version than install.sh unpacks?');
  };
  // every compiler shows Mesa's common form too; Apple's only in what it prints
  const common = file(chip.compiler === 'agx' ? '.log' : '.0.0.ir') + (chip.compiler === 'ir3' ? file('.0.1.ir') : '');
  const program = parse(file(assembly));
  if ([...program.values()].every(({ instructions }) => instructions.length === 0))
    throw new DataError(path.join(folder, `${tag}${assembly}`), `holds no assembly that this version can read`);
  return {
    statistics: statisticsOf(file('.stats'), chip, `${tag}.stats`),
    program,
    workgroupSize: workgroupSizeOf(common, `${tag}.ir`),
    workgroupMemoryBytes: Number(/^shared_size: (\d+)/m.exec(common)?.[1] ?? 0),
  };
}

/** @param {string} text @param {string} file */
function workgroupSizeOf(text, file) {
  const sizes = /^workgroup_size: (\d+), (\d+), (\d+)/m.exec(text)?.slice(1).map(Number);
  if (sizes === undefined) throw new DataError(file, 'names no workgroup_size');
  return sizes.reduce((a, b) => a * b);
}
