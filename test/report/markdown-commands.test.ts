/** Commands in report.md: whatever they hold, they end where their block ends. */
import { expect, test } from 'vitest';
import { renderMarkdown } from '../../src/report/markdown.ts';

const rendered = (...lines: string[]) =>
  renderMarkdown({
    title: 't',
    subtitle: 's',
    lead: [{ kind: 'commands', lines }],
    sections: [],
  });

test.each([
  ['none', 'nibble train', '```'],
  ['one', "nibble train '`'", '```'],
  ['three', "nibble train '\n```\n<script>'", '````'],
  ['three with a language', '```sh', '````'],
  ['six, and three', '`````` ```', '```````'],
])('backticks: %s', (_, command, fence) => {
  expect(rendered('npm ci', command)).toContain(`\n\n${fence}sh\nnpm ci\n${command}\n${fence}\n`);
});
