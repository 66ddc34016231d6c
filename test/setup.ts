/** Before every test file. */
// SwiftShader reads its settings from the working directory, when the first device is opened
process.chdir(new URL('./swiftshader/', import.meta.url).pathname);

// no test asks the network: those of the hub have one of their own, on this machine
process.env.HF_HUB_OFFLINE = '1';
process.env.HF_HOME = new URL('./no-such-folder/', import.meta.url).pathname;
delete process.env.HF_HUB_CACHE;
delete process.env.HF_TOKEN;
