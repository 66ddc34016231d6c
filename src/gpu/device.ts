/** A GPUDevice with its profile, its failures turned into DeviceError, and its pipelines. Knows no Node. */
import { DeviceError, KernelCallError } from '../errors.ts';
import type { DeviceProfile } from './device-profile.ts';
import { type KernelInterface, kernelKey, type ShaderLibrary } from './kernel.ts';

export type Pipeline = { readonly pipeline: GPUComputePipeline; readonly layout: GPUBindGroupLayout };

/** The driver's own description of the device, recorded with every run. */
export type DeviceInfo = {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallbackAdapter: boolean;
  readonly features: readonly string[];
  readonly limits: Readonly<Record<string, number>>;
  readonly toggles: readonly string[];
};

/** Awaits a result of the GPU; where the platform would spin meanwhile, it may let the processor rest. */
export type Rest = <T>(result: Promise<T>) => Promise<T>;

export class Device {
  readonly gpu: GPUDevice;
  readonly profile: DeviceProfile;
  readonly info: DeviceInfo;
  readonly shaders: ShaderLibrary;
  /** Remarks for a person on how it was opened. */
  readonly notices: readonly string[];
  readonly #pipelines = new Map<string, Promise<Pipeline>>();
  readonly #rest: Rest;
  #failure: DeviceError | null = null;
  #destroyed = false;

  constructor(init: {
    gpu: GPUDevice;
    profile: DeviceProfile;
    info: DeviceInfo;
    shaders: ShaderLibrary;
    notices?: readonly string[];
    rest?: Rest;
  }) {
    this.gpu = init.gpu;
    this.profile = init.profile;
    this.info = init.info;
    this.shaders = init.shaders;
    this.notices = init.notices ?? [];
    this.#rest = init.rest ?? ((result) => result);
    this.gpu.addEventListener('uncapturederror', (event) => {
      this.#fail((event as GPUUncapturedErrorEvent).error.message);
    });
    void this.gpu.lost.then((info) => {
      if (!this.#destroyed) this.#fail(`the device was lost (${info.reason}): ${info.message}`);
    });
  }

  /** @throws DeviceError if anything failed since the device was made. Call it wherever a result is about to be believed. */
  throwIfFailed(): void {
    if (this.#failure !== null) throw this.#failure;
  }

  /** Runs `body` inside error scopes. @throws DeviceError with the driver's first line. */
  async guarded<T>(what: string, body: () => T | Promise<T>): Promise<T> {
    for (const scope of ['validation', 'out-of-memory', 'internal'] as const) this.gpu.pushErrorScope(scope);
    let result: T | undefined;
    let thrown: unknown = null;
    try {
      result = await body();
    } catch (error) {
      thrown = error;
    }
    const scopes = await this.wait(Promise.all([0, 1, 2].map(() => this.gpu.popErrorScope())));
    if (thrown !== null) throw thrown;
    const error = scopes.find((e) => e !== null);
    if (error) throw this.#fail(`${what}: ${error.message}`, advice(error));
    return result as T;
  }

  /** Awaits what the GPU or its compiler brings; whatever waits for it goes through here. */
  wait<T>(result: Promise<T>): Promise<T> {
    return this.#rest(result);
  }

  pipeline(kernel: KernelInterface, overrides: Readonly<Record<string, number>> = {}): Promise<Pipeline> {
    const key = `${kernel.key}|${JSON.stringify(overrides)}`;
    const known = this.#pipelines.get(key) ?? this.#compile(kernel, overrides);
    this.#pipelines.set(key, known);
    return known;
  }

  async #compile(kernel: KernelInterface, overrides: Readonly<Record<string, number>>): Promise<Pipeline> {
    const { code, origin } = await this.shaders.link(kernel.spec);
    const constants = { ...(kernel.overrides.includes('WG') && { WG: this.profile.workgroupSize }), ...overrides };
    const module = this.gpu.createShaderModule({ label: kernelKey(kernel.spec), code });
    const { messages } = await this.wait(module.getCompilationInfo());
    const errors = messages.filter((m) => m.type === 'error').map((m) => `  ${origin(m.offset)} ${m.message}`);
    if (errors.length > 0)
      throw new KernelCallError(kernel.spec.name, `the shader does not compile\n${errors.join('\n')}`);
    const layout = this.gpu.createBindGroupLayout({
      label: kernel.key,
      entries: kernel.bindings.map((b) => ({
        binding: b.index,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type: b.access === 'uniform' ? 'uniform' : b.access === 'read' ? 'read-only-storage' : 'storage' },
      })),
    });
    const pipeline = await this.wait(
      this.gpu.createComputePipelineAsync({
        label: kernel.key,
        layout: this.gpu.createPipelineLayout({ bindGroupLayouts: [layout] }),
        compute: { module, entryPoint: 'main', constants },
      }),
    );
    return { pipeline, layout };
  }

  #fail(message: string, next = 'run `nibble doctor` to see what this device can do'): DeviceError {
    const first = message.split('\n')[0] ?? message;
    this.#failure ??= new DeviceError(`${this.profile.name}: ${first}\n${next}`);
    return this.#failure;
  }

  destroy(): void {
    this.#destroyed = true;
    this.gpu.destroy();
  }
}

function advice(error: GPUError): string | undefined {
  return error.constructor.name === 'GPUOutOfMemoryError'
    ? 'out of memory: use a smaller per_device_train_batch_size, a shorter max_length, or load_in_4bit; `nibble estimate` says what each needs'
    : undefined;
}
