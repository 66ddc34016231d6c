/** Bundles the core as a web project would. */
import { type BuildResult, build } from 'esbuild';

const ROOT = new URL('../../', import.meta.url).pathname;

/**
 * Bundles into one module for a browser or an edge runtime; returns its text and the files in it. esbuild has no Node
 * modules for the browser: an import of one is an error that names it.
 * @param source the module to bundle, whose imports start in this folder
 */
export async function bundle(source: string): Promise<{ text: string; files: readonly string[] }> {
  const result: BuildResult<{ write: false; metafile: true }> = await build({
    stdin: { contents: source, resolveDir: new URL('.', import.meta.url).pathname, loader: 'ts' },
    absWorkingDir: ROOT,
    bundle: true,
    format: 'esm',
    platform: 'browser',
    // the runtime provides the WASM module
    external: ['*.wasm'],
    write: false,
    metafile: true,
    logLevel: 'silent',
  });
  return { text: result.outputFiles[0]?.text ?? '', files: Object.keys(result.metafile.inputs) };
}
