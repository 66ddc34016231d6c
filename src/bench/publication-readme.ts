/** README.md of a published suite: what came of it, how to repeat it, and what its runs read. */
import { packageManifest } from '../node/package-root.ts';
import { REPORT_FILES } from '../report/report.ts';
import type { SuiteInput, SuiteManifest } from '../results/summary-schema.ts';
import { SUITE_FILE } from './inputs.ts';

type Publication = { readonly name: string; readonly manifest: SuiteManifest; readonly verdict: string };

/** Formats it. */
export function publicationReadme({ name, manifest, verdict }: Publication): string {
  const { suite, description = '', inputs = [], device = null, created_at } = manifest;
  const on = device === null ? '' : ` on ${device.name}${device.driver === null ? '' : `, driver ${device.driver}`}`;
  return [
    `# ${name}`,
    [description, verdict].filter(Boolean).join('\n\n'),
    `Suite \`${suite}\`, begun ${created_at.slice(0, 10)}${on}: [report](${REPORT_FILES.markdown}), [as a page](${REPORT_FILES.html}), ` +
      `[runs](${REPORT_FILES.csv}), [settings](${SUITE_FILE}).`,
    '## Repeat it',
    repeatText(manifest, name),
    '## What the runs read',
    inputTable(inputs),
    '`suite.json` has the hash of every file, and each `*.run.json` one of itself: a record that was edited is refused.',
    '',
  ].join('\n\n');
}

function repeatText({ code, inputs = [] }: SuiteManifest, name: string): string {
  const { name: npm, repository } = packageManifest();
  const version = code?.version ?? packageManifest().version;
  const options = inputs.filter(({ from }) => from === 'reader').map((input) => ` --input ${input.name}=PATH`);
  const repeat = `npx nibble bench repeat ../${name}${options.join('')}`;
  const url = repository.url.replace(/^git\+|\.git$/g, '');
  const checkout = code?.git_commit ? ` && git checkout ${code.git_commit}` : '';
  const dirty = code?.git_dirty ? '\n\nThe runs were made from a checkout with changes that were not committed.' : '';
  return (
    `Copy this folder out of its repository first, and go to the folder that it lies in. With a clone of nibble ${version}:\n\n` +
    `\`\`\`sh\ngit clone ${url} nibble && cd nibble${checkout} && npm ci\n${repeat}\n\`\`\`\n\n` +
    `or with the package, in a project of its own:\n\n` +
    `\`\`\`sh\nmkdir project && cd project && npm init -y && npm install ${npm}@${version}\n${repeat}\n\`\`\`\n\n` +
    'It makes the runs again and says what agrees: parameters, rows and tokens everywhere; GPU memory where the kernels are ' +
    'of one kind; losses and adapters to the bit on one device, driver and version. ' +
    `\`--only RUN\` repeats one of them.${dirty}`
  );
}

function inputTable(inputs: readonly SuiteInput[]): string {
  const rows = inputs.map(({ name, kind, from, source, files }) => {
    const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
    const size = files.length === 0 ? '' : `${bytes.toLocaleString('en-US')} bytes`;
    const hash = files.length === 1 ? ` sha256 \`${files[0]!.sha256}\`` : '';
    return `| \`${name}\` | ${kind} | ${whereOf(from, source)} | ${size}${hash} |`;
  });
  return ['| name | what | where | size |', '| --- | --- | --- | --- |', ...rows].join('\n');
}

function whereOf(from: SuiteInput['from'], source: string | null): string {
  if (from === 'nibble') return 'comes with nibble';
  if (from === 'hub') return 'the Hugging Face hub; the commit is in the records';
  return from === 'folder' ? 'in this folder' : (source ?? '').replaceAll('|', '\\|');
}
