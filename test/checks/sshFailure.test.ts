import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createServer } from 'node:net';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { lastWords, recognise, sshError } from '../../src/checks/sshFailure.ts';
import { execute } from '../lab/child.ts';
import { type Release, treeOf } from '../lab/disk.ts';
import { freshFolder } from '../lab/paths.ts';
import { hasRelease } from '../lab/requirements.ts';
import { bannerOnly, freePort, makeKey, silentServer, startSshd, type Sshd, type TestServer } from '../lab/sshd.ts';

/** This machine's ssh, and those of other Debian releases as far as their trees are here. */
const releases: Release[] = ['host', ...(['bullseye', 'trixie'] as const).filter(hasRelease)];

describe.each(releases)('what the ssh of %s says', (release) => {
  let folder: string;
  let sshd: Sshd;
  let silent: TestServer;
  let notSsh: TestServer;
  let closedPort: number;
  const hangsUp = createServer((socket) => socket.destroy());

  /** A path of the folder, as that ssh sees it. */
  const seen = (name: string) => join(release === 'host' ? folder : '/mnt', name);

  /** Runs that ssh with the options of a tunnel; of a keyword said twice, ssh takes the first. */
  const said = async (port: number, options: readonly string[] = [], words: readonly string[] = [], host = '127.0.0.1', network: readonly string[] = [], key = 'key') => {
    const ours = [
      'BatchMode=yes', 'ConnectTimeout=2', 'ExitOnForwardFailure=yes', 'IdentitiesOnly=yes', 'GlobalKnownHostsFile=/dev/null', 'StrictHostKeyChecking=yes',
      `UserKnownHostsFile=${seen('known_hosts')}`, `IdentityFile=${seen(key)}`,
    ];
    const ssh = ['ssh', '-F', 'none', ...[...options, ...ours].flatMap((option) => ['-o', option]), '-N', '-T', '-p', String(port), ...words, '--', `root@${host}`];
    const there = release === 'host' ? ssh : ['unshare', '-m', 'sh', '-c', 'mount --bind "$1" "$2/mnt" && shift && exec chroot "$@"', 'sh', folder, treeOf(release), ...ssh];
    const { code, stderr } = await execute([...network, ...there], { timeoutMs: 10_000 });
    expect(code).toBe(255);
    return stderr;
  };

  beforeAll(async () => {
    folder = freshFolder();
    [sshd, silent, notSsh, closedPort] = await Promise.all([startSshd(), silentServer(), bannerOnly('220 smtp.example.com'), freePort()]);
    await new Promise<void>((resolve) => { hangsUp.listen(0, '127.0.0.1', resolve); });
    const [key] = await Promise.all([makeKey(folder, { name: 'key' }), makeKey(folder, { name: 'stranger' })]);
    sshd.authorize(key.publicKeyLine);
    writeFileSync(join(folder, 'known_hosts'), sshd.knownHostsLines());
    writeFileSync(join(folder, 'empty'), '');
    writeFileSync(join(folder, 'changed'), `[127.0.0.1]:${sshd.port} ${key.publicKeyLine}\n`);
  });
  afterAll(async () => {
    hangsUp.close();
    await Promise.all([sshd.dispose(), silent.stop(), notSsh.stop()]);
    rmSync(folder, { recursive: true });
  });

  test.each<[string, number, () => Promise<string>]>([
    ['name-unknown', 1, () => said(22, [], [], 'nowhere.invalid')],
    ['server-refused', 1, () => said(closedPort)],
    ['no-route', 1, () => said(22, [], [], '192.0.2.1', ['unshare', '--net'])],
    ['server-silent', 1, () => said(silent.port)],
    ['server-closed', 1, () => said((hangsUp.address() as { port: number }).port)],
    ['host-key-unknown', 4, () => said(sshd.port, [`UserKnownHostsFile=${seen('empty')}`])],
    ['host-key-changed', 4, () => said(sshd.port, [`UserKnownHostsFile=${seen('changed')}`])],
    ['key-refused', 4, () => said(sshd.port, [], [], '127.0.0.1', [], 'stranger')],
    ['forward-refused', 1, () => said(sshd.port, [], ['-R', `127.0.0.1:${sshd.port}:localhost:22`])],
    ['port-in-use-here', 1, () => said(sshd.port, [], ['-L', `127.0.0.1:${sshd.port}:localhost:22`])],
    ['no-common-algorithm', 1, () => said(sshd.port, ['Ciphers=aes256-cbc'])],
    ['ssh-option', 1, () => said(sshd.port, ['Ciphers=rot13'])],
    ['server-closed', 1, () => said(notSsh.port)],
  ])('means %s, and the exit code is %i', async (id, exitCode, provoke) => {
    const stderr = await provoke();
    expect([recognise(stderr)?.id, stderr]).toEqual([id, stderr]);
    const error = sshError('pi@h', stderr);
    expect(error).toMatchObject({ id, exitCode });
    expect(error.message).toMatch(/^pi@h: .*\. \(ssh: .+\)$/);
    expect(error.message).not.toMatch(/\n|debug1/);
  });
});

// Seen with other servers, or on ways that cannot be made on one machine (OpenSSH 8.4, 9.2 and 10.0).
test.each([
  ['Timeout, server 10.0.0.1 not responding.', 'server-silent'],
  ['Connection to 10.0.0.1 port 22 timed out', 'server-silent'],
  ['ssh: connect to host 10.0.0.1 port 22: No route to host', 'no-route'],
  ['ssh: connect to host 10.0.0.1 port 22: Connection timed out', 'server-silent'],
  ['ssh: Could not resolve hostname h: Temporary failure in name resolution', 'dns-silent'],
  ['Connection to 10.0.0.1 closed by remote host.', 'server-closed'],
  ['Connection reset by 10.0.0.1 port 2200', 'server-closed'],
  ['kex_exchange_identification: read: Connection reset by peer', 'server-closed'],
  ['Received disconnect from 10.0.0.1 port 22:2: Too many authentication failures', 'key-refused'],
  ['mux_client_forward: forwarding request failed: remote port forwarding failed for listen port 80', 'forward-refused'],
  ['No ED25519 host key is known for [h]:2200 and you have requested strict checking.\r\nHost key verification failed.', 'host-key-unknown'],
])('%s', (stderr, id) => {
  expect(recognise(stderr)?.id).toBe(id);
});

test('what nobody has heard before is handed on as it is', () => {
  expect(recognise('ssh: something new')).toBeUndefined();
  expect(sshError('h', 'debug1: x\r\nssh: something new\r\n', 'hint')).toMatchObject({ id: 'ssh-failed', exitCode: 1, message: 'h: ssh failed: ssh: something new', hint: 'hint' });
  expect(sshError('h', '').message).toBe('h: ssh failed: without a word');
});

test('the last words are those for people', () => {
  const said = 'OpenSSH_9.2p1\ndebug1: a\nhost: real reason  \r\nTransferred: sent 1, received 2 bytes\nBytes per second: sent 1\n@@@@\n\n';
  expect(lastWords(said)).toBe('host: real reason');
});
