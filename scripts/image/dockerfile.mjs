/** Reads a Dockerfile, as much of its language as ours uses; what is not understood is an error, never passed over. */

/**
 * @typedef {{ name: string, base: string, steps: readonly Step[] }} Stage
 * @typedef {{ kind: string, text: string, from?: string, sources?: readonly string[], target?: string }} Step
 */

const KNOWN = ['RUN', 'COPY', 'ENV', 'USER', 'WORKDIR', 'VOLUME', 'STOPSIGNAL', 'ENTRYPOINT', 'CMD'];

/**
 * @param {string} text
 * @returns {Stage[]} stages in order, their bases with ARGs filled in
 */
export function readDockerfile(text) {
  /** @type {Map<string, string>} */
  const args = new Map();
  /** @type {(Stage & { steps: Step[] })[]} */
  const stages = [];
  for (const { kind, rest } of instructionsOf(text)) {
    if (kind === 'ARG') {
      const [name = '', value = ''] = rest.split('=');
      args.set(name, value);
    } else if (kind === 'FROM') {
      const [base = '', , name] = rest.split(/\s+/);
      const filled = base.replaceAll(/\$\{(\w+)\}/g, (_, arg) => args.get(arg) ?? '');
      stages.push({ name: name ?? String(stages.length), base: filled, steps: [] });
    } else {
      if (!KNOWN.includes(kind)) throw new Error(`Dockerfile: ${kind} is not understood here`);
      stages.at(-1)?.steps.push(kind === 'COPY' ? copyOf(rest) : { kind, text: rest });
    }
  }
  return stages;
}

/** @param {string} text */
function instructionsOf(text) {
  const lines = text
    .split('\n')
    .filter((line) => !/^\s*#/.test(line))
    .join('\n')
    .replaceAll(/\\\n\s*/g, ' ')
    .split('\n')
    .filter((line) => line.trim() !== '');
  return lines.map((line) => {
    const [, kind = '', rest = ''] = /^(\w+)\s+(.*)$/.exec(line) ?? [];
    return { kind, rest: rest.trim() };
  });
}

/**
 * @param {string} text
 * @returns {Step}
 */
function copyOf(text) {
  const words = text.split(/\s+/);
  const flag = words[0]?.startsWith('--') ? words.shift() : undefined;
  if (flag !== undefined && !flag.startsWith('--from='))
    throw new Error(`Dockerfile: COPY ${flag} is not understood here`);
  const target = words.pop() ?? '';
  const from = flag?.slice('--from='.length);
  return { kind: 'COPY', text, sources: words, target, ...(from === undefined ? {} : { from }) };
}

/**
 * @param {string} text of ENV
 * @returns {[string, string][]}
 */
export function variablesOf(text) {
  return text.split(/\s+/).map((pair) => {
    const at = pair.indexOf('=');
    return [pair.slice(0, at), pair.slice(at + 1)];
  });
}

/**
 * What `.dockerignore` lets into the build: it has to leave out everything (`*`) and then name what comes in.
 * @param {string} text
 * @returns {string[]} paths, with `*` within a name
 */
export function admitted(text) {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !line.startsWith('#'));
  const [all, ...exceptions] = lines;
  if (all !== '*' || exceptions.some((line) => !line.startsWith('!')))
    throw new Error('.dockerignore: wanted * first, and then lines that begin with !');
  return exceptions.map((line) => line.slice(1));
}
