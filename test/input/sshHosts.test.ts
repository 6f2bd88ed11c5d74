import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { hostsOfSshConfig } from '../../src/input/sshHosts.ts';
import { local } from '../../src/machine/local.ts';

const homes: string[] = [];
afterAll(() => homes.forEach((home) => rmSync(home, { recursive: true })));

function homeWith(files: Record<string, string>): string {
  const home = mkdtempSync(join(tmpdir(), 'revtun-test-'));
  homes.push(home);
  for (const [path, text] of Object.entries(files)) {
    mkdirSync(dirname(join(home, path)), { recursive: true });
    writeFileSync(join(home, path), text);
  }
  return home;
}

test.each<[string, Record<string, string>, string[]]>([
  ['no file, no names', {}, []],
  ['names in their order, each once', { '.ssh/config': 'Host b a\n  User x\nHost a\n' }, ['b', 'a']],
  ['patterns and exceptions are left out', { '.ssh/config': 'Host * !x *.example tunl ?\n' }, ['tunl']],
  ['keywords in any case, with = and quotes', { '.ssh/config': 'host="tunl"\n\tHOST = other\nHostName no\nHostKeyAlias no\n' }, ['tunl', 'other']],
  ['comments are no names', { '.ssh/config': '# Host no\n' }, []],
  ['files beside it are followed', { '.ssh/config': 'Include more ~/far.conf\nHost last\n', '.ssh/more': 'Host one', 'far.conf': 'Host two' }, ['one', 'two', 'last']],
  ['and whole folders', { '.ssh/config': 'Include config.d/*.conf', '.ssh/config.d/1.conf': 'Host one', '.ssh/config.d/2.conf': 'Host two', '.ssh/config.d/no': 'Host no' }, ['one', 'two']],
  ['a circle ends', { '.ssh/config': 'Host tunl\nInclude config\n' }, ['tunl']],
])('%s', async (_, files, names) => {
  expect(await hostsOfSshConfig(local, homeWith(files))).toEqual(names);
});
