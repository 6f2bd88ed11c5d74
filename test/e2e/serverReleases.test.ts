import { expect, test } from '@jest/globals';
import { diffSnapshots } from '../lab/snapshot.ts';
import { UNCHANGED, makeWorld, untilReachable, withoutBackups } from './world.ts';

const DEST = 'pi@server.test';

test.each([
  ['bullseye', 'ssh.service'],
  ['trixie', 'ssh.service'],
  // systemd listens, and starts sshd when somebody comes.
  ['trixie', 'ssh.socket'],
] as const)('a server with the OpenSSH of %s, started by %s, takes a device, and is left as it was', async (release, unit) => {
  const world = await makeWorld({}, { server: release });
  try {
    const { device, server, revtun } = world;
    await device.writeFile('/root/.ssh/known_hosts', await server.knownHostsLine());
    await device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/cam']);
    if (unit === 'ssh.socket') await server.succeed(['sh', '-c', 'systemctl disable -q --now ssh.service && systemctl enable -q --now ssh.socket']);
    const bare = server.snapshot();
    const run = async (...words: string[]) => {
      const { code, stdout, stderr } = await revtun(['server', ...words, DEST, '--json']);
      if (code !== 0) throw new Error(stdout + stderr);
      return JSON.parse(stdout) as { changed: boolean; install: string[]; devices: unknown };
    };
    expect(await run('setup')).toMatchObject({ changed: true });
    expect(await run('setup')).toMatchObject({ changed: false });
    const { install } = await run('add', 'cam', '--key', '/root/cam.pub');
    expect((await revtun([...install.slice(1), '--yes'])).stderr).toBe('');
    await untilReachable(server, 20_000);
    expect(await run('check')).toMatchObject({ devices: 1 });
    expect(await run('list')).toMatchObject({ devices: [{ name: 'cam', connected: true, since: expect.any(String), from: expect.any(String) }] });
    await run('remove', '--all');
    expect(withoutBackups(diffSnapshots(bare, server.snapshot()))).toEqual(UNCHANGED);
  } finally {
    await world.dispose();
  }
}, 120_000);
