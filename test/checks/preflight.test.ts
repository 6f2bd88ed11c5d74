import { afterAll, describe, expect, test } from '@jest/globals';
import { createServer } from 'node:net';
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Facts, readFacts } from '../../src/checks/facts.ts';
import { requireLocalPortsFree, requireMachine, requireRisksAccepted } from '../../src/checks/preflight.ts';
import { local } from '../../src/machine/local.ts';
import type { Identity, Machine, RunResult } from '../../src/machine/machine.ts';
import type { Scope } from '../../src/tunnel/tunnel.ts';
import { freshFolder } from '../lab/paths.ts';
import { freePort, silentServer } from '../lab/sockets.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: {} };
const fine: Facts = {
  who: ann, systemd: 252, managers: { system: true, user: true }, ssh: { version: 9.2, text: 'OpenSSH 9.2p1' }, aes: true, selinux: false, namespaces: true,
};

describe('facts', () => {
  test('of this very machine', async () => {
    const facts = await readFacts(local, ann);
    expect(facts.ssh?.text).toMatch(/^OpenSSH \d+\.\d+/);
    expect(facts.systemd).toBeGreaterThanOrEqual(247);
    expect(facts.who).toBe(ann);
  });

  /** A machine of which only these words are known: the ones here cannot be had. */
  const machine = (said: Readonly<Record<string, Partial<RunResult>>>, files: Readonly<Record<string, string>> = {}): Machine => ({
    ...local,
    run: async ([program = '']) => ({ code: 127, stdout: '', stderr: '', timedOut: false, stopped: false, ...said[program] }),
    stat: async (path) => (path in files ? { kind: 'file', mode: 0o644, uid: 0, gid: 0, size: 0 } : undefined),
    read: async (path) => (files[path] === undefined ? undefined : Buffer.from(files[path])),
  });

  test.each<[string, Partial<Facts>]>([
    ['OpenSSH_8.4p1 Debian-5+deb11u3, OpenSSL 1.1.1w  11 Sep 2023\n', { ssh: { version: 8.4, text: 'OpenSSH 8.4p1' } }],
    ['OpenSSH_10.0p2 Debian-7, OpenSSL 3.5.4 30 Sep 2025\n', { ssh: { version: 10, text: 'OpenSSH 10.0p2' } }],
    ['OpenSSH_9.9p1, OpenSSL 3.2.2 4 Jun 2024\n', { ssh: { version: 9.9, text: 'OpenSSH 9.9p1' } }],
    ['Dropbear v2022.83\n', { ssh: undefined }],
  ])('of %j', async (stderr, facts) => {
    expect(await readFacts(machine({ '/usr/bin/ssh': { code: 0, stderr } }), ann)).toMatchObject(facts);
  });

  test.each([
    ['systemd 247 (247.3-7+deb11u6)\n+PAM\n', 247], ['systemd 257 (257.13-1~deb13u1)\n', 257], ['systemd 255.4-1ubuntu8\n', 255], ['', undefined],
  ])('of %j', async (stdout, systemd) => {
    expect((await readFacts(machine({ systemctl: { stdout } }), ann)).systemd).toBe(systemd);
  });

  test.each([
    ['flags\t\t: fpu aes avx\n', true], ['Features\t: fp asimd aes pmull\n', true], ['Features\t: fp asimd\n', false], ['flags\t\t: fpu vaes aesni\n', false], ['model name: aes\n', false],
  ])('of the processor %j: AES is %p', async (cpuinfo, aes) => {
    expect((await readFacts(machine({}, { '/proc/cpuinfo': cpuinfo }), ann)).aes).toBe(aes);
  });

  test('of managers, SELinux and namespaces', async () => {
    const files = { '/run/systemd/system': '', '/run/user/1000/systemd/private': '', '/sys/fs/selinux/enforce': '1' };
    expect(await readFacts(machine({ unshare: { code: 0 } }, files), ann)).toMatchObject({ managers: { system: true, user: true }, selinux: true, namespaces: true });
    expect(await readFacts(machine({}, { '/x/systemd/private': '' }), { ...ann, env: { XDG_RUNTIME_DIR: '/x' } })).toMatchObject({ managers: { system: false, user: true }, selinux: false, namespaces: false });
  });
});

describe('a machine', () => {
  const root = { ...ann, uid: 0 };

  test.each<[Scope, Partial<Facts>]>([
    ['user', {}], ['system', { who: root }], ['system', { who: { ...root, sudoUser: 'ann' } }],
    ['user', { systemd: 247, ssh: { version: 8.4, text: '' } }], ['user', { ssh: { version: 10, text: '' }, managers: { system: false, user: true } }],
  ])('can carry a tunnel (%s, %j)', (scope, facts) => {
    expect(() => requireMachine({ ...fine, ...facts }, scope, [])).not.toThrow();
  });

  test.each<[string, Scope, Partial<Facts>, string]>([
    ['no-ssh', 'user', { ssh: undefined }, 'apt-get install openssh-client'],
    ['ssh-too-old', 'user', { ssh: { version: 8.2, text: 'OpenSSH 8.2p1' } }, 'Upgrade'],
    ['no-systemd', 'user', { systemd: undefined }, 'revtun-setup render'],
    ['systemd-too-old', 'user', { systemd: 245 }, 'Debian 11'],
    ['not-root', 'system', {}, "sudo revtun-setup --bind '*'"],
    ['sudo-user-scope', 'user', { who: { ...root, sudoUser: 'ann' } }, 'without sudo'],
    ['no-manager', 'system', { who: root, managers: { system: false, user: true } }, 'revtun-setup demo'],
    ['no-manager', 'user', { managers: { system: true, user: false } }, 'loginctl enable-linger ann'],
  ])('is refused: %s (%s)', (id, scope, facts, hint) => {
    expect(() => requireMachine({ ...fine, ...facts }, scope, ['revtun-setup', '--bind', '*'])).toThrow(expect.objectContaining({ id, exitCode: 1, hint: expect.stringContaining(hint) }));
  });
});

test('every risk has to be accepted by its own name', () => {
  const tunnel = exampleTunnel({ forwards: forwards('-R *:0', '-R *:1:a:2') });
  expect(() => requireRisksAccepted(tunnel, ['public'])).toThrow(expect.objectContaining({
    id: 'risk', exitCode: 2, hint: expect.stringMatching(/add --accept-risk=remote-socks --accept-risk=dynamic-port$/),
  }));
  expect(() => requireRisksAccepted(tunnel, ['public', 'dynamic-port', 'remote-socks'])).not.toThrow();
  expect(() => requireRisksAccepted(exampleTunnel(), [])).not.toThrow();
});

describe('what a tunnel listens on here', () => {
  const folder = freshFolder();
  afterAll(() => rmSync(folder, { recursive: true }));
  const check = (specs: string[], held: string[] = []) =>
    requireLocalPortsFree(local, exampleTunnel({ forwards: forwards(...specs) }), held.length === 0 ? undefined : exampleTunnel({ forwards: forwards(...held) }));
  const taken = expect.objectContaining({ id: 'port-in-use-here', exitCode: 1 });

  test('may be free', async () => {
    const port = await freePort();
    await check([`-L ${port}:a:1`, `-D *:${port}`, '-L /run/nothing-here.sock:a:1']);
  });

  test('may be taken', async () => {
    const { port, stop } = await silentServer();
    await expect(check([`-L ${port}:a:1`])).rejects.toThrow(taken);
    await expect(check([`-D *:${port}`])).rejects.toThrow(taken);
    await check([`-R ${port}:a:1`]);
    await check([`-L ${port}:a:1`], [`-L ${port}:a:1`]);
    await stop();
  });

  test('may be a socket that is there, or one that nobody would find', async () => {
    const path = join('/run', `rvt-${process.pid}.sock`);
    const server = createServer();
    await new Promise<void>((resolve) => { server.listen(path, resolve); });
    await expect(check([`-L ${path}:a:1`])).rejects.toThrow(taken);
    server.close();
    for (const directory of ['', '/run/nothing']) await expect(check([`-L ${directory}/x.sock:a:1`])).rejects.toThrow(expect.objectContaining({ id: 'socket-directory', exitCode: 2 }));
    for (const directory of ['/tmp', '/var/tmp']) await expect(check([`-L ${directory}/x.sock:a:1`])).rejects.toThrow(expect.objectContaining({ id: 'private-tmp', exitCode: 2 }));
  });
});
