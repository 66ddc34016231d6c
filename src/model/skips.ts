/** Reads `llm_int8_skip_modules` as transformers does: which modules stay out of quantization. */
import { ConfigError } from '../errors.ts';
import { pythonRegex } from '../formats/python-regex.ts';
import { withinTime } from '../formats/time-limit.ts';

const SETTING = 'llm_int8_skip_modules';
/** An entry is matched to hundreds of names in milliseconds. */
const LIMIT_MS = 5000;

/**
 * Makes a test for module names. An entry counts when the name begins with it or matches it as a regular expression from the
 * start, in both cases up to a dot or the end, or when the name ends in it.
 * @throws ConfigError for an entry that is no regular expression, that does not come to an end, or that keeps out none of `modules`: what was meant
 * to stay would be quantized
 */
export function skipTest(entries: readonly string[], modules: readonly string[]): (module: string) => boolean {
  const problems: { path: string; message: string }[] = [];
  const tests = entries.map((entry) => {
    const test = entryTest(entry);
    if (typeof test === 'string') problems.push({ path: SETTING, message: `"${entry}" ${test}` });
    else if (!withinTime(LIMIT_MS, () => modules.some(test), late(entry)))
      problems.push({ path: SETTING, message: unmatchedMessage(entry, modules) });
    return typeof test === 'string' ? () => false : test;
  });
  if (problems.length > 0) throw new ConfigError(problems);
  return (module) => withinTime(LIMIT_MS, () => tests.some((test) => test(module)), late(entries.join(', ')));
}

function late(entry: string): () => ConfigError {
  const message = `"${entry}" takes more than ${LIMIT_MS / 1000} s on the names of the modules; give names, or a simpler expression`;
  return () => new ConfigError([{ path: SETTING, message }]);
}

/** Makes the test of one entry, or says why there is none. */
function entryTest(entry: string): ((module: string) => boolean) | string {
  if (entry === '') return 'is empty, and every name ends in that; leave it out';
  try {
    const pattern = pythonRegex(`(?:${entry})(?:(?<=\\.)|(?=\\.|$))`, 'match');
    return (module) => pattern.test(module) || module.endsWith(entry);
  } catch (cause) {
    return `is no regular expression that works here (${cause instanceof Error ? cause.message : cause}); give a module's name`;
  }
}

function unmatchedMessage(entry: string, modules: readonly string[]): string {
  const endings = [...new Set(modules.map((module) => module.slice(module.lastIndexOf('.') + 1)))].join(', ');
  return `"${entry}" names no module; give a full name, its beginning, its ending or a regular expression. Endings: ${endings}`;
}
