/** Before every test file: SwiftShader reads its settings from the working directory, when the first device is opened. */
process.chdir(new URL('./swiftshader/', import.meta.url).pathname);
