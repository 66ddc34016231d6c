import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { backportsSource, installFromBackports } from '../../src/doctor/apt.ts';
import { DEBIAN_SOURCES } from './fake-machine.ts';

const from = (text: string, file = '/etc/apt/sources.list.d/debian.sources', codename = 'bookworm') =>
  backportsSource(new Map([[file, text]]), codename);

describe('backports from the own sources', () => {
  it('deb822: the stanza of the release, its suite replaced, comments dropped', () => {
    expect(from(DEBIAN_SOURCES)?.text).toBe(
      'Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm-backports\nComponents: main contrib\n' +
        'Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg\n',
    );
  });

  it('deb822: not a stanza that only names another suite of the release, nor one switched off', () => {
    expect(from('Types: deb\nURIs: http://m.invalid\nSuites: bookworm-security\nComponents: main\n')).toBeNull();
    expect(from(`Enabled: no\n${DEBIAN_SOURCES}`)).toBeNull();
    expect(from(DEBIAN_SOURCES, undefined, 'trixie')).toBeNull();
  });

  it('deb822: a field that goes on in indented lines', () => {
    const text = 'Types: deb\nURIs: http://m.invalid\nSuites: bookworm-updates\n bookworm\nComponents: main\n';
    expect(from(text)?.text).toBe('Types: deb\nURIs: http://m.invalid\nSuites: bookworm-backports\nComponents: main\n');
  });

  it('one-line sources, with options', () => {
    const text =
      '# deb http://no.invalid bookworm main\ndeb [signed-by=/k.gpg] http://m.invalid/debian bookworm main non-free\n';
    expect(from(text, '/etc/apt/sources.list')).toEqual({
      file: '/etc/apt/sources.list.d/backports.list',
      suite: 'bookworm-backports',
      text: 'deb [signed-by=/k.gpg] http://m.invalid/debian bookworm-backports main non-free\n',
    });
  });

  it('the command writes exactly that entry', () => {
    const folder = mkdtempSync(path.join(os.tmpdir(), 'nibble-apt-'));
    const source = {
      ...from(`${DEBIAN_SOURCES}`.replace('/debian\n', "/it's\n")),
      file: path.join(folder, 'x.sources'),
    };
    const command = installFromBackports(source as never, ['a', 'b'], true);
    expect(command).toMatch(/ && apt-get update && apt-get install -y -t bookworm-backports a b$/);
    execFileSync('sh', ['-c', command.split(' && ')[0] as string]);
    expect(readFileSync(source.file, 'utf8')).toBe(source.text);
    expect(source.text).toContain("/it's\n");
    rmSync(folder, { recursive: true });
    expect(installFromBackports(source as never, ['a'], false).match(/sudo /g)).toHaveLength(3);
  });
});
