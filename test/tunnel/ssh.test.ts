import { afterAll, describe, expect, test } from '@jest/globals';
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { checkArgv, ONE_TRY, sshConfig, tunnelArgv } from '../../src/tunnel/ssh.ts';
import { execute } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { exampleTunnel, forwards } from './example.ts';

const folder = freshFolder();
afterAll(() => rmSync(folder, { recursive: true }));

describe("the tunnel's command line", () => {
  test('is this one', () => {
    expect(tunnelArgv(exampleTunnel(), '/etc/revtun/home/ssh_config')).toEqual([
      '/usr/bin/ssh', '-fNTy', '-F', '/etc/revtun/home/ssh_config', '-R', '127.0.0.1:22222:localhost:22', '-p', '22', '--', 'pi@tunl.example.com',
    ]);
  });

  test('has every forward and every jump host', () => {
    const tunnel = exampleTunnel({
      host: '2001:db8::1', port: 2222,
      jump: [{ host: 'gate', user: 'me', port: 22 }, { host: '::1', port: 2 }],
      forwards: forwards('-R 1:a:2', '-L /run/x y:b:3', '-D *:4'),
    });
    expect(tunnelArgv(tunnel, 'CONFIG')).toEqual([
      '/usr/bin/ssh', '-fNTy', '-o', 'ConnectTimeout=15', '-F', 'CONFIG', '-J', 'me@gate:22,[::1]:2', '-R', '1:a:2', '-L', '/run/x y:b:3', '-D', '*:4', '-p', '2222', '--', 'pi@2001:db8::1',
    ]);
  });

  test('of a check has its own flags, and only the forwards it is given', () => {
    expect(checkArgv(exampleTunnel(), 'CONFIG', ['-v', '-N'], forwards('-D 1'))).toEqual(
      ['/usr/bin/ssh', '-v', '-N', '-F', 'CONFIG', '-D', '1', '-p', '22', '--', 'pi@tunl.example.com']);
    expect(checkArgv(exampleTunnel(), 'CONFIG', [])).not.toContain('-R');
    expect(checkArgv(exampleTunnel(), 'CONFIG', ['-T'], [], ['hello']).slice(-3)).toEqual(['--', 'pi@tunl.example.com', 'hello']);
  });

  /** What ssh makes of the argv, connecting nowhere. */
  const resolved = async (argv: readonly string[], config: string) => {
    const file = join(folder, 'config');
    writeFileSync(file, config);
    const [program, ...words] = argv.map((word) => (word === 'CONFIG' ? file : word));
    const { code, stdout, stderr } = await execute([program!, '-G', ...words]);
    expect(stderr).toBe('');
    expect(code).toBe(0);
    return new Map(stdout.split('\n').map((line) => [line.split(' ')[0], line.slice(line.indexOf(' ') + 1)]));
  };

  test('reaches link-local jump hosts through as many expansions as there are hops', async () => {
    const tunnel = exampleTunnel({ jump: [{ host: 'fe80::1%lo', user: 'a', port: 24 }, { host: 'fe80::2%lo', user: 'b', port: 25 }] });
    const file = join(folder, 'config');
    writeFileSync(file, 'Host *\nConnectTimeout 1\nBatchMode yes\n');
    const { stderr } = await execute(checkArgv(tunnel, file, ['-v']), { timeoutMs: 10_000 });
    expect(stderr).toContain(`-W '[tunl.example.com]:22' fe80::2%lo`);
    expect(stderr).toContain(`-W '[fe80::2%lo]:25' fe80::1%lo`);
    expect(stderr).toContain('Connecting to fe80::1%lo [fe80::1%lo] port 24');
  });

  test('decides everything that a configuration of somebody else might', async () => {
    const values = await resolved(tunnelArgv(exampleTunnel({ ciphers: 'aes128-ctr', keepalive: 7 }), 'CONFIG'), sshConfig(exampleTunnel({ ciphers: 'aes128-ctr', keepalive: 7 }), '/etc/r t/known_hosts'));
    expect(Object.fromEntries([
      'batchmode', 'exitonforwardfailure', 'identityfile', 'identitiesonly', 'identityagent', 'stricthostkeychecking', 'userknownhostsfile', 'globalknownhostsfile',
      'updatehostkeys', 'serveraliveinterval', 'serveralivecountmax', 'controlmaster', 'permitlocalcommand', 'forwardagent', 'ciphers', 'connecttimeout', 'connectionattempts', 'preferredauthentications',
    ].map((key) => [key, values.get(key)]))).toEqual({
      batchmode: 'yes', exitonforwardfailure: 'yes', identityfile: '${CREDENTIALS_DIRECTORY}/key', identitiesonly: 'yes', identityagent: 'none',
      stricthostkeychecking: 'true', userknownhostsfile: '/etc/r t/known_hosts', globalknownhostsfile: '/dev/null',
      updatehostkeys: 'false', serveraliveinterval: '7', serveralivecountmax: '3', controlmaster: 'false', permitlocalcommand: 'no', forwardagent: 'no',
      ciphers: 'aes128-ctr', connecttimeout: '5', connectionattempts: '6', preferredauthentications: 'publickey',
    });
  });

  test.each([
    ['the service', undefined, 0, '5', '6'],
    ['the service behind a jump host', undefined, 1, '5', '6'],
    ['the service behind two jump hosts', undefined, 2, '10', '6'],
    ['a check', ONE_TRY, 2, '10', '1'],
  ] as const)('lets %s try as long as it should', async (_who, patience, hops, timeout, attempts) => {
    const tunnel = exampleTunnel({ jump: Array.from({ length: hops }, () => ({ host: 'gate', user: 'me', port: 22 })) });
    // As a jump host sees it: nothing but the configuration.
    const values = await resolved(['/usr/bin/ssh', '-T', '-F', 'CONFIG', '--', 'gate'], sshConfig(tunnel, '/known_hosts', patience));
    expect([values.get('connecttimeout'), values.get('connectionattempts')]).toEqual([timeout, attempts]);
  });
});
