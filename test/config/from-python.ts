/** What docs/from-python.md shows of each of its programs. */
import { readFileSync } from 'node:fs';

const PAGE = readFileSync(new URL('../../docs/from-python.md', import.meta.url), 'utf8');

export type ProgramName = 'lora' | 'qlora' | 'sft';
export const PROGRAMS: readonly ProgramName[] = ['lora', 'qlora', 'sft'];

/** Takes the three blocks of code of a program off the page. */
export function blocks(name: ProgramName): { python: string; yaml: string; ts: string } {
  const section = PAGE.split(`<!-- program: ${name} -->`)[1] ?? '';
  const code = (language: string) => section.split(`\`\`\`${language}\n`)[1]?.split('```')[0] ?? '';
  return { python: code('python'), yaml: code('yaml'), ts: code('ts') };
}
