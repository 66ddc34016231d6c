/** What the parts of bench/static-gpu hand to each other. */

export type Tier = 'direct' | 'simt' | 'subgroup_matrix';

/** A chip's published constants, from chips.json. */
export type Chip = {
  /** The card that stands for the chip in the model. */
  readonly card: string;
  readonly compiler: 'nak' | 'aco' | 'agx' | 'ir3';
  /** Multiprocessors, compute units or cores. */
  readonly units: number;
  readonly clock_hz: number;
  /** Ports of a unit that issue an instruction a clock each, and the lanes that one of them works on at a time. */
  readonly ports: number;
  readonly lanes_per_port: number;
  /** Products of f16 matrices with f32 sums, dense; null where the driver offers none. */
  readonly matrix_flops: number | null;
  /** A matrix instruction holds the port of the others (RDNA), in place of running beside them. */
  readonly matrix_holds_port: boolean;
  readonly workgroup_memory_bytes: number;
  readonly workgroup_memory_bytes_per_clock: number;
  readonly l2_bytes_per_second: number;
  readonly memory_bytes_per_second: number;
  readonly global_latency_clocks: number;
  readonly workgroup_latency_clocks: number;
  readonly other_latency_clocks: number;
  readonly barrier_clocks: number;
  /** Subgroups that a unit can hold, where the compiler's own figure does not say. */
  readonly subgroups_per_unit: number;
  readonly dispatch_gap_us: number;
  readonly sources: readonly string[];
};

/** What no compiler and no data sheet says: the same for every kernel, before and after a change. */
export type Assumed = {
  readonly rate_share: number;
  readonly bandwidth_share: number;
  readonly nak_copies_left: number;
  readonly rdna_other_issue_share: number;
  readonly lora_product_us: number;
  readonly lora_reduce_us: number;
  readonly dequant_of_its_bytes: number;
};

/** A binding of a dispatch, as the plan has it. */
export type Bound = {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly bytes: number;
  readonly writable: boolean;
};

/** Equal dispatches of a plan, counted. */
export type Dispatches = {
  readonly key: string;
  readonly params: Readonly<Record<string, number>>;
  readonly workgroups: number;
  readonly bindings: readonly Bound[];
  readonly count: number;
};

/** A pipeline that a plan needs. */
export type PipelineSpec = {
  readonly key: string;
  readonly kernel: string;
  readonly when: readonly string[];
  readonly constants: Readonly<Record<string, number>>;
};

/** The step of a model on a device, one tier. */
export type StepPlan = {
  readonly model: string;
  readonly batch: number;
  readonly sequence: number;
  readonly checkpointing: boolean;
  readonly tier: Tier;
  readonly dispatches: readonly Dispatches[];
  readonly pipelines: readonly PipelineSpec[];
};

/** A token of each sequence of a batch, recorded on a device. */
export type DecodePlan = {
  readonly model: string;
  readonly batch: number;
  /** Tokens that each sequence has in the cache. */
  readonly context: number;
  readonly base: 'nf4' | 'bfloat16';
  readonly tier: Tier;
  readonly dispatches: readonly Dispatches[];
  readonly pipelines: readonly PipelineSpec[];
};

/** What compiling on one chip leaves: the plans, and where the compiler's output of each pipeline lies. */
export type Compiled = {
  readonly device: string;
  readonly plans: readonly StepPlan[];
  readonly decodes: readonly DecodePlan[];
  /** Output by pipeline key: one tag, and one of a round as it usually goes where the kernel says what it does rarely. */
  readonly outputs: Readonly<Record<string, Output>>;
};
export type Output = {
  readonly tag: string;
  readonly usual: string | null;
  /** Numbers of the linked shader's `const` lines and of the host's constants. */
  readonly numbers: Readonly<Record<string, number>>;
};

/** An instruction of a real compiler's assembly, in the terms of the replay. */
export type Instruction = {
  readonly kind: Kind;
  /** Clocks after which its port takes the next one. */
  readonly clocks: number;
  /** Bytes a lane moves. */
  readonly bytes: number;
  /** Floating-point operations of a lane (of a whole subgroup for `matrix`). */
  readonly flops: number;
  /** Before it starts, at most `leave` of what was issued to the queue may be on its way. */
  readonly waits: readonly { readonly queue: string; readonly leave: number }[];
  /** The queue that is told when it is done. */
  readonly signals: string | null;
};
export type Kind =
  | 'matrix'
  | 'fma'
  | 'special'
  | 'convert'
  | 'copy'
  | 'integer'
  | 'branch'
  | 'wait'
  | 'barrier'
  | 'global_load'
  | 'global_store'
  | 'workgroup_load'
  | 'workgroup_store'
  | 'private'
  | 'constant'
  | 'scalar';

export type Block = {
  readonly id: number;
  readonly instructions: Instruction[];
  successors: number[];
  predecessors: number[];
};
/** Basic blocks by id, in the order of the program. */
export type Program = Map<number, Block>;

/** A compiler's own figures of a pipeline, by common names. */
export type Statistics = {
  readonly registers: number;
  readonly scratchBytes: number;
  readonly spills: number;
  readonly instructions: number;
  /** The compiler's own estimate of clocks; null where it makes none. */
  readonly cycles: number | null;
  readonly subgroupSize: number;
  /** Subgroups that a unit holds, as far as registers go. */
  readonly subgroupsPerUnit: number;
};

/** A compiled pipeline, read. */
export type Pipeline = {
  readonly statistics: Statistics;
  readonly program: Program;
  readonly workgroupSize: number;
  readonly workgroupMemoryBytes: number;
};

/** What a round of a kernel's main loop is for. */
export type Round = {
  /** Useful work of a workgroup. */
  readonly flops: number;
  /** Bytes that a workgroup reads through L2. */
  readonly bytes: number;
  /** Present for kernels that stream weights or a cache: `bytes` are those. */
  readonly isStream?: true;
  /** Present where a round takes all of the loop around the innermost one with its products. */
  readonly isAround?: true;
};

/** A kernel's rate, and why. */
export type Rate = {
  readonly tflops: number;
  readonly boundBy: string;
  /** Clocks of a unit for a workgroup's round, by what might bind. */
  readonly clocks: Readonly<Record<string, number>>;
  readonly roundClocks: number;
  readonly residentWorkgroups: number;
  readonly matrixInstructions: number;
  readonly instructions: number;
  readonly copies: number;
  /** `bytes` of the round. */
  readonly roundBytes: number;
};

/** A row of the result: a kernel's variant on a chip. */
export type Row = {
  readonly kernel: string;
  readonly variant: string;
  readonly tier: Tier;
  readonly registers: number;
  readonly scratch_bytes: number;
  readonly spills: number;
  readonly resident_workgroups: number;
  /** In a round of the main loop, by one subgroup; null where a kernel has no main loop. */
  readonly matrix_instructions: number | null;
  /** All instructions of the round by its matrix instructions, copies among them. */
  readonly instructions_per_matrix: number | null;
  readonly copies_per_matrix: number | null;
  /** Clocks of a unit for a workgroup's round. */
  readonly round_clocks: number | null;
  readonly bound_by: string;
  readonly tflops: number | null;
  /** Bytes a second of the weights or the cache that a kernel streams, and bytes a lane for each instruction of a round. */
  readonly gigabytes_per_second: number | null;
  readonly bytes_per_instruction: number | null;
  readonly compiler_cycles: number | null;
};

/** The model of a step: milliseconds, and their shares. */
export type Step = {
  readonly ms: number;
  readonly dispatches: number;
  readonly flops: number;
  readonly bytes: number;
  readonly parts: Readonly<Record<string, number>>;
  /** LoRA's products by the replay of their own code, in place of the assumed time. */
  readonly derivedLoraMs: number;
};

/** The model of a token of each sequence: milliseconds, and their shares. */
export type DecodedToken = {
  readonly ms: number;
  readonly dispatches: number;
  readonly bytes: number;
  /** The time that the bytes alone would take, of all. */
  readonly bandwidth_share: number;
  readonly parts: Readonly<Record<string, number>>;
};

export type Result = {
  readonly chips: Readonly<Record<string, readonly Row[]>>;
  readonly paper_model: Readonly<Record<string, number | null>>;
};
