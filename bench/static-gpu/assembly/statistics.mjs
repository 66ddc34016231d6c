/** The figures that each compiler states of a pipeline, by common names. */
import { DataError } from '../from-nibble.mjs';

/** @import { Chip, Statistics } from '../types.d.ts' */

/**
 * What each calls them; several names are added up. `perUnit`: subgroups, as far as registers allow, of a unit (NAK, ir3) or of a
 * port (ACO); AGX states threads. ir3 names no bytes of private memory, only how many instructions touch it.
 * @type {Readonly<Record<Chip['compiler'], Readonly<Record<'registers' | 'scratch' | 'spills' | 'instructions' | 'cycles' | 'occupancy', readonly string[]>>>>}
 */
const NAMES = {
  nak: {
    registers: ['Number of GPRs'],
    scratch: ['SLM size'],
    spills: ['Spills to memory', 'Fills from memory'],
    instructions: ['Instruction count'],
    cycles: ['Static cycle count'],
    occupancy: ['Max warps/SM'],
  },
  aco: {
    registers: ['VGPRs'],
    scratch: ['Scratch size'],
    spills: ['Spilled VGPRs'],
    instructions: ['Instructions'],
    cycles: ['Latency'],
    occupancy: ['Subgroups per SIMD'],
  },
  agx: {
    registers: ['GPRs'],
    scratch: ['Scratch'],
    spills: ['Spills', 'Fills'],
    instructions: ['Instructions'],
    cycles: [],
    occupancy: ['Threads'],
  },
  ir3: {
    registers: ['Registers used'],
    scratch: [],
    spills: ['STP Count', 'LDP Count'],
    instructions: ['Instruction Count'],
    cycles: [],
    occupancy: ['Max Waves Per Core'],
  },
};

/**
 * @param {string} text lines of a name, a tab and a number
 * @param {Pick<Chip, 'compiler' | 'ports' | 'subgroups_per_unit'>} chip
 * @param {string} file for messages
 * @returns {Statistics}
 * @throws DataError where a figure is missing
 */
export function statisticsOf(text, chip, file) {
  const found = new Map(text.split('\n').map((line) => /** @type {[string, string]} */ (line.split('\t'))));
  const names = NAMES[chip.compiler];
  const sum = (/** @type {readonly string[]} */ wanted) => wanted.reduce((total, name) => total + number(name), 0);
  const number = (/** @type {string} */ name) => {
    const value = Number(found.get(name));
    if (found.has(name) && Number.isFinite(value)) return value;
    throw new DataError(
      file,
      `has no figure ${name}, which ${chip.compiler} is known to state: got ${[...found.keys()].join(', ')}`,
    );
  };
  const subgroupSize = number('subgroup');
  const occupancy = sum(names.occupancy);
  const subgroups = { nak: occupancy, ir3: occupancy, aco: occupancy * chip.ports, agx: occupancy / subgroupSize };
  return {
    registers: sum(names.registers),
    scratchBytes: sum(names.scratch),
    spills: sum(names.spills),
    instructions: sum(names.instructions),
    cycles: names.cycles.length === 0 ? null : sum(names.cycles),
    subgroupSize,
    subgroupsPerUnit: Math.min(subgroups[chip.compiler], chip.subgroups_per_unit),
  };
}
