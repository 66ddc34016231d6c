/** Calls nibble-tune/core inside workerd: an estimate, and a tensor in 4 bits. */
import {
  Codec,
  estimateGuide,
  estimateMethods,
  KNOWN_PROFILES,
  loadShaders,
  loadTrainConfig,
  memoryReader,
  openSafetensors,
  parseModelConfig,
  type QuantSpec,
  quantize4bit,
  type ShaderAssets,
  settleComputeDtype,
  type TrainSettings,
  USUAL,
  type WasmModule,
} from '../../src/core.ts';

export type EstimateRequest = {
  readonly config: Readonly<Record<string, unknown>>;
  readonly name: string;
  readonly settings: TrainSettings;
  readonly profile: string;
};

async function estimate(request: EstimateRequest, shaders: ShaderAssets): Promise<Response> {
  const { config, name, settings, profile } = request;
  const device = KNOWN_PROFILES[profile];
  if (device === undefined) return new Response(`no profile ${profile}`, { status: 400 });
  const options = { model_name_or_path: 'model', ...settings };
  const job = {
    config: settleComputeDtype(loadTrainConfig({ options, usual: USUAL }, 'estimate'), device).config,
    model: parseModelConfig(config, name),
    modelName: name,
    profile: device,
    shaders: loadShaders(shaders),
  };
  return Response.json({ ...(await estimateMethods(job)), guide: await estimateGuide({ ...job, card: null }) });
}

export const SPEC: QuantSpec = { quantType: 'nf4', blockSize: 64, doubleQuant: true };

/**
 * Quantizes one bfloat16 tensor of a safetensors file: returns packed nibbles, codes, nested absmax and offset in a
 * row.
 */
async function quantize(file: Uint8Array, tensor: string, module: WasmModule): Promise<Response> {
  const source = await openSafetensors(memoryReader(new Map([['model.safetensors', file]])), 'model.safetensors');
  const raw = new Uint8Array(source.info(tensor).bytes);
  await source.read(tensor, 0, raw);
  const codec = new Codec(module);
  const { packed, state } = quantize4bit(codec, raw, 'bfloat16', SPEC);
  if (!state.nested) return new Response('no second level', { status: 500 });
  const floats = [...state.nestedAbsmax, state.offset];
  const body = new Blob([packed, state.codes, Float32Array.from(floats)]);
  return new Response(body, { headers: { 'x-memory': String(codec.memory.byteLength) } });
}

/** Makes the handler; the runtime provides the compiled module, the bundle provides the shaders. */
export const worker = (module: WasmModule, shaders: ShaderAssets) => ({
  async fetch(request: Request): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    if (pathname === '/estimate') return estimate((await request.json()) as EstimateRequest, shaders);
    return quantize(new Uint8Array(await request.arrayBuffer()), searchParams.get('tensor') ?? '', module);
  },
});
