import { afterAll, expect, test } from '@jest/globals';
import { chmodSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { requireNoticePrograms } from '../../src/checks/noticePrograms.ts';
import { local } from '../../src/machine/local.ts';
import { freshFolder } from '../lab/paths.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const folder = freshFolder();
chmodSync(folder, 0o755);
afterAll(() => rmSync(folder, { recursive: true }));
mkdirSync(join(folder, 'private'), { mode: 0o700 });
for (const [name, mode] of [['all', 0o755], ['owner', 0o700], ['text', 0o644], ['private/all', 0o755]] as const) writeFileSync(join(folder, name), '#!/bin/sh\n', { mode });
mkdirSync(join(folder, 'folder'));

const check = (program: string, more: Parameters<typeof exampleTunnel>[0] = {}, otherUser = false) =>
  requireNoticePrograms(local, exampleTunnel({ onUp: [join(folder, program)], ...more }), otherUser);

test('what everybody may run is accepted', async () => {
  // Only root can try what somebody else may do.
  await expect(check('all', { scope: process.getuid?.() === 0 ? 'system' : 'user' })).resolves.toBeUndefined();
  await expect(requireNoticePrograms(local, exampleTunnel(), false)).resolves.toBeUndefined();
});

test.each([
  ['missing', 'there is no program'],
  ['folder', 'there is no program'],
  ['text', 'is not executable'],
])('%s is refused', async (name, why) => {
  await expect(check(name)).rejects.toMatchObject({ id: 'usage', exitCode: 2, message: expect.stringMatching(new RegExp(`^--on-up: .*${why}`)) });
  await expect(check('all', { onDown: [join(folder, name)] })).rejects.toMatchObject({ message: expect.stringMatching(/^--on-down: /) });
});

test.each(['owner', 'private/all'])("%s may not be run by the system's service, but by that of a user, or of whom a drop-in names", async (name) => {
  await expect(check(name)).rejects.toMatchObject({ id: 'usage', message: expect.stringContaining('may not be run by everybody') });
  await expect(check(name, { scope: 'user' })).resolves.toBeUndefined();
  await expect(check(name, {}, true)).resolves.toBeUndefined();
});
