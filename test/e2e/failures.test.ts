import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { CLI, makeWorld, UNCHANGED, withoutBackups, type World } from './world.ts';

let world: World<never>;
let bare: Snapshot;

beforeAll(async () => {
  world = await makeWorld();
  // Stands before the real one in PATH, fails at its FAIL_AT-th call, and passes all others on.
  await world.device.writeFile('/srv/broken/systemctl', BROKEN_SYSTEMCTL, { mode: 0o755 });
  await world.device.writeFile('/srv/broken/loginctl', '#!/bin/sh\nexit 1\n', { mode: 0o755 });
  await world.revtun(flags());
  await world.revtun(['uninstall']);
  bare = world.device.snapshot();
});
afterAll(() => world?.dispose());

const BROKEN_SYSTEMCTL = `#!/bin/sh
[ -n "$FAIL_AT" ] || exec /usr/bin/systemctl "$@"
count=$(($(cat /run/calls 2>/dev/null || echo 0) + 1))
echo "$count" > /run/calls
if [ "$count" -eq "$FAIL_AT" ]; then echo "systemctl: injected failure of: $*" >&2; exit 1; fi
exec /usr/bin/systemctl "$@"
`;

function flags(...more: string[]): string[] {
  return ['install', 'home', '--host', 'pi@server.test', '--remote-port', '22222', '--host-key', world.fingerprint, ...more];
}

const untouched = () => expect(withoutBackups(diffSnapshots(bare, world.device.snapshot()))).toEqual(UNCHANGED);
const loaded = async () => (await world.device.run(['systemctl', 'list-units', '--all', '--no-legend', 'revtun-*'])).stdout.trim();

async function withFailureAt(call: number, args: readonly string[]) {
  await world.device.run(['rm', '-f', '/run/calls']);
  const result = await world.revtun(args, { env: { PATH: '/srv/broken:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', FAIL_AT: String(call) } });
  const calls = Number((await world.device.run(['cat', '/run/calls'])).stdout);
  return { ...result, calls };
}

describe('a systemctl that fails', () => {
  test('at each call of an install: nothing is left, and the message says what failed', async () => {
    for (let call = 1; call < 20; call += 1) {
      const { code, stderr, calls } = await withFailureAt(call, flags());
      if (calls < call) {
        expect(call).toBeGreaterThan(4);
        break;
      }
      expect(stderr).not.toMatch(/^\s+at /m);
      if (code === 0) {
        // The failure was of a question that systemd answers the same way when asked again: all the same, it is up.
        expect((await world.revtun(['status', 'home'])).code).toBe(0);
        await world.revtun(['uninstall', '--all']);
      } else {
        expect([call, code, stderr]).toEqual([call, 1, expect.stringMatching(/systemctl|systemd/)]);
        expect([call, await loaded()]).toEqual([call, '']);
      }
      untouched();
    }
  });

  test('at each call of a change: the old tunnel stands', async () => {
    expect((await world.revtun(flags())).code).toBe(0);
    const before = world.device.snapshot();
    for (let call = 2; call < 20; call += 1) {
      const { code, calls } = await withFailureAt(call, flags('--keepalive', '9'));
      if (calls < call) break;
      if (code !== 0) {
        expect(diffSnapshots(before, world.device.snapshot())).toEqual(UNCHANGED);
        expect([call, (await world.revtun(['status', 'home'])).code]).toEqual([call, 0]);
      } else {
        expect((await world.revtun(flags('--keepalive', '4'))).code).toBe(0);
      }
    }
    expect((await world.revtun(['uninstall', 'home'])).code).toBe(0);
    untouched();
  });

  test('at each call of an uninstall: it can be run again', async () => {
    for (let call = 1; call < 12; call += 1) {
      expect((await world.revtun(flags())).code).toBe(0);
      const { code, stdout, calls } = await withFailureAt(call, ['uninstall', 'home']);
      if (code !== 0) {
        expect(stdout).not.toContain('home: removed');
        expect((await world.revtun(['uninstall', 'home'])).code).toBe(0);
      }
      untouched();
      if (calls < call) break;
    }
  });
});

describe('a disk', () => {
  const inPrivateMounts = (mounts: string) =>
    world.device.run(['unshare', '-m', 'sh', '-c', `${mounts}; exec "$@"`, 'sh', process.execPath, CLI, ...flags()], { timeoutMs: 60_000 });

  test('that is read-only is told, and nothing else happens', async () => {
    const { code, stderr } = await inPrivateMounts('mount --bind /etc /etc && mount -o remount,bind,ro /etc');
    expect([code, stderr]).toEqual([1, expect.stringContaining('EROFS')]);
    expect(stderr).not.toMatch(/^\s+at /m);
    untouched();
  });

  test.each([
    ['the configuration', 'mkdir -p /etc/revtun && mount -t tmpfs -o size=4k tmpfs /etc/revtun && mkdir /etc/revtun/home && head -c 4096 /dev/zero > /etc/revtun/full 2>/dev/null'],
    ['the units', 'mount -t tmpfs -o size=4k tmpfs /etc/systemd/system && head -c 8192 /dev/zero > /etc/systemd/system/full 2>/dev/null'],
  ])('that is full for %s is told, and what was done is undone', async (_what, mounts) => {
    const { code, stderr } = await inPrivateMounts(mounts);
    expect([code, stderr]).toEqual([1, expect.stringContaining('ENOSPC')]);
    expect(await loaded()).toBe('');
    await world.device.run(['rmdir', '/etc/revtun']);
    untouched();
  });
});

describe('what is not ours', () => {
  test.each([
    ['/etc/systemd/system/revtun-home.service', '[Service]\nExecStart=/bin/true\n'],
    ['/etc/revtun/home/ssh_config', 'Host *\n'],
    ['/etc/revtun/home/known_hosts', '# mine\n'],
  ])('%s is neither overwritten nor removed', async (path, text) => {
    await world.device.writeFile(path, text);
    const { code, stderr } = await world.revtun(flags());
    expect([code, stderr]).toEqual([2, expect.stringContaining(path)]);
    await world.revtun(['uninstall', 'home']);
    expect(await world.device.readFile(path)).toBe(text);
    await world.device.succeed(['rm', '-r', path]);
    await world.device.run(['rm', '-rf', '/etc/revtun']);
  });

  test('a symbolic link in the place of a unit is not followed', async () => {
    await world.device.writeFile('/srv/precious', 'precious\n');
    await world.device.succeed(['ln', '-s', '/srv/precious', '/etc/systemd/system/revtun-home.service']);
    expect((await world.revtun(flags())).code).toBe(2);
    expect(await world.device.readFile('/srv/precious')).toBe('precious\n');
    await world.device.succeed(['rm', '/etc/systemd/system/revtun-home.service', '/srv/precious']);
  });

  test('a user called revtun that somebody else made is not used', async () => {
    await world.device.succeed(['useradd', '--system', 'revtun']);
    const { code, stderr } = await world.revtun(flags());
    expect([code, stderr]).toEqual([2, expect.stringContaining('"revtun"')]);
    await world.device.succeed(['userdel', 'revtun']);
  });

  test('an addition of the user\'s to the unit stays, and is said to', async () => {
    await world.device.writeFile('/etc/systemd/system/revtun-home.service.d/override.conf', '[Service]\nNice=5\n');
    expect((await world.revtun(flags())).code).toBe(0);
    const { stdout } = await world.revtun(['uninstall', 'home']);
    expect(stdout).toContain('left on purpose: /etc/systemd/system/revtun-home.service.d');
    await world.device.succeed(['rm', '-r', '/etc/systemd/system/revtun-home.service.d']);
    await world.device.succeed(['systemctl', 'daemon-reload']);
    untouched();
  });
});

describe('a key', () => {
  const withKey = async (path: string, prepare: string) => {
    await world.device.succeed(['sh', '-c', `mkdir -p /srv/keys && cd /srv/keys && ${prepare}`]);
    const { code, stderr } = await world.revtun([...flags(), '--key', path]);
    await world.device.succeed(['rm', '-rf', '/srv/keys']);
    expect(stderr).not.toMatch(/^\s+at /m);
    untouched();
    return [code, stderr];
  };

  test.each([
    ['missing', '/srv/keys/none', 'true', 2, 'there is no file'],
    ['a FIFO', '/srv/keys/fifo', 'mkfifo fifo', 2, 'not a file'],
    ['a directory', '/srv/keys/dir', 'mkdir dir', 2, 'not a file'],
    ['public', '/srv/keys/k.pub', 'ssh-keygen -qt ed25519 -N "" -f k', 2, 'is a public key'],
    ['with a passphrase', '/srv/keys/k', 'ssh-keygen -qt ed25519 -N secret -f k', 4, 'passphrase'],
    ['readable by all', '/srv/keys/k', 'ssh-keygen -qt ed25519 -N "" -f k && chmod 644 k', 2, 'chmod 600'],
    ['rubbish', '/srv/keys/k', 'echo rubbish > k && chmod 600 k', 2, 'no private key'],
    ['of PuTTY', '/srv/keys/k', 'echo PuTTY-User-Key-File-3: x > k', 2, 'puttygen'],
    ['with a blank in its path', '/srv/keys/a b', 'ssh-keygen -qt ed25519 -N "" -f "a b"', 2, 'blanks'],
  ])('that is %s is refused in time', async (_what, path, prepare, code, words) => {
    expect(await withKey(path, prepare)).toEqual([code, expect.stringContaining(words)]);
  });

  test('may be reached by a symbolic link, and lie where only root can read', async () => {
    await world.device.succeed(['sh', '-c', 'install -d -m 700 "$1" && cp /root/.ssh/id_ed25519 "$1/k" && ln -s "$1/k" /srv/link', 'sh', '/srv/ä%h:$x']);
    for (const key of ['/srv/link', '/srv/ä%h:$x/k']) {
      const { code, stderr } = await world.revtun([...flags(), '--key', key]);
      expect([key, code, stderr]).toEqual([key, 0, '']);
      await world.revtun(['uninstall', 'home']);
    }
    await world.device.succeed(['rm', '-r', '/srv/link', '/srv/ä%h:$x']);
    untouched();
  });
});
