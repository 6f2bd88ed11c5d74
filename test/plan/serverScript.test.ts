import { afterAll, expect, test } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { serverAddScript, serverSetupScript, uidFor } from '../../src/plan/serverScript.ts';
import { DEVICE_UIDS } from '../../src/server/state.ts';
import { execute } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';

const folder = freshFolder();
afterAll(() => rmSync(folder, { recursive: true }));

const wish = { name: 'home', publicKey: `ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEE0qWw0YT0zKFY6HPpsd3uTnWPIe0u5MMoYs1ho5KkO it's "me" $(id)`, port: 22222 };

test.each<[string, string]>([
  ['setup', serverSetupScript({ inline: false, old: false, selinux: false })],
  ['setup for an older sshd without drop-ins, with SELinux', serverSetupScript({ inline: true, old: true, selinux: true })],
  ['add', serverAddScript(wish, '/root/.ssh/id_ed25519', false)],
  ['add for everyone', serverAddScript({ ...wish, bind: '*', acceptRisk: ['public'] }, "it's here", true, 70_000)],
])('shellcheck has nothing to say against the script of %s', async (_, script) => {
  const path = join(folder, 'script.sh');
  writeFileSync(path, script);
  expect(await execute(['shellcheck', path])).toEqual({ code: 0, stdout: '', stderr: '' });
});

test('a newer sshd gets keywords that an older one would refuse', () => {
  const newer = serverSetupScript({ inline: false, old: false, selinux: false });
  expect(newer).toContain('\n  UnusedConnectionTimeout none\n');
  expect(serverSetupScript({ inline: false, old: true, selinux: false })).not.toContain('\n  UnusedConnectionTimeout');
});

test('a uid follows from the name, and is one of the range of devices', () => {
  const uids = Array.from({ length: 2000 }, (_, at) => uidFor(`device-${at}`));
  expect(uids.every((uid) => Number.isInteger(uid) && uid >= DEVICE_UIDS.first && uid <= DEVICE_UIDS.last)).toBe(true);
  // As often alike as chance has it: 2000 of 34,464.
  expect(new Set(uids).size).toBeGreaterThan(1900);
  expect(uidFor('home')).toBe(77_624);
  expect(serverAddScript(wish, 'k', false)).toContain("\nfile 2 644 /etc/ssh/revtun/77624 <<'END'\n");
  expect(serverAddScript(wish, 'k', false, 65_536)).toContain("\nfile 2 644 /etc/ssh/revtun/65536 <<'END'\n");
  expect(() => serverAddScript(wish, 'k', false, 100_000)).toThrow('--uid');
});

test('what server add refuses is refused here, too', () => {
  expect(() => serverAddScript({ ...wish, bind: '*' }, 'k', false)).toThrow('open to everyone');
  expect(() => serverAddScript({ ...wish, port: 80 }, 'k', false)).toThrow('only root may listen on port 80');
});
