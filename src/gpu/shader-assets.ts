/** Holds the shaders for places without files: a bundle, an edge runtime, a page. */
import { ShaderLibrary } from './kernel.ts';

/** WGSL by path below `shaders/`, such as `rmsnorm_fwd.wgsl` and `lib/grid.wgsl`; `nibble-tune/shaders` exports it. */
export type ShaderAssets = Readonly<Record<string, string>>;

/** Makes a library of these shaders. */
export function loadShaders(assets: ShaderAssets): ShaderLibrary {
  return new ShaderLibrary(new Map(Object.entries(assets)));
}
