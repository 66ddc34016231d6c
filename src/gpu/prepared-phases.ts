/** Recorded phases with the memory they share: planned and allocated, then compiled into programs. */
import { KernelCallError } from '../errors.ts';
import type { Allocator } from './allocator.ts';
import { Arena } from './arena.ts';
import type { Command } from './command.ts';
import type { Device } from './device.ts';
import { makePlan, type Plan } from './plan.ts';
import { compilePipelines, type PreparedPlan, Program, preparePlan } from './program.ts';
import type { Residents } from './residents.ts';

/** The commands of a phase, under the name of its program. */
export type Recorded = { readonly name: string; readonly commands: readonly Command[] };

export class PreparedPhases {
  /** In the order of the phases; they can be read when their memory is gone, too. */
  readonly plans: readonly Plan[];
  readonly #allocator: Allocator;
  readonly #arena: Arena;
  readonly #prepared: PreparedPlan[];
  readonly #programs = new Map<string, Program>();

  /** Allocates one arena for all phases, and the parameters of each. */
  constructor(allocator: Allocator, phases: readonly Recorded[]) {
    this.#allocator = allocator;
    this.plans = phases.map(({ name, commands }) => makePlan(name, commands));
    this.#arena = new Arena(allocator, this.plans);
    this.#prepared = this.plans.map((plan) => preparePlan(plan, allocator));
  }

  /** Compiles every pipeline and builds every bind group. @throws DeviceError */
  async compile(device: Device, residents: Residents): Promise<void> {
    await compilePipelines(device, this.#prepared);
    const memory = { residents, arena: this.#arena };
    for (const prepared of this.#prepared)
      this.#programs.set(prepared.plan.name, await Program.compile(device, prepared, memory));
  }

  /** @throws KernelCallError when no compiled phase has that name */
  program(name: string): Program {
    const program = this.#programs.get(name);
    if (program === undefined)
      throw new KernelCallError('machine', `no program ${name} among ${[...this.#programs.keys()].join(', ')}`);
    return program;
  }

  /** Frees the memory; the programs are gone with it. */
  destroy(): void {
    this.#programs.clear();
    this.#arena.destroy();
    for (const { params } of this.#prepared.splice(0)) this.#allocator.free(params);
  }
}
