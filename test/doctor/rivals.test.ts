import { expect, test } from '@jest/globals';
import { isSameServer, rivalsPart } from '../../src/doctor/rivalsPart.ts';
import { whomItAsks } from '../../src/doctor/rivalWords.ts';
import { local } from '../../src/machine/local.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { headline, patientOf } from './patients.ts';

test.each<[string, string | undefined]>([
  ['ssh -NTR 22222:localhost:22 pi@server.test', 'server.test'],
  ['/usr/bin/ssh -N -R 127.0.0.1:22222:localhost:22 -p 2222 server.test', 'server.test'],
  ['ssh -f -N -R*:22222:localhost:80 server.test sleep 9', 'server.test'],
  ['ssh -N server.test -R 22222:localhost:22', 'server.test'],
  ['ssh -N -o RemoteForward=22222 server.test', 'server.test'],
  ['ssh -N -R 22222:localhost:22 -o HostName=server.test alias', 'server.test'],
  ['ssh -N -R 22222:localhost:22 ssh://pi@server.test:2222', 'server.test'],
  ['/usr/lib/autossh/autossh -M 0 -N -R 22222:localhost:22 pi@server.test', 'server.test'],
  ['autossh -M20000 -N -R 22222:localhost:22 pi@server.test', 'server.test'],
  ['ssh -N -R 22223:localhost:22 server.test', undefined],
  ['ssh -N -R 192.0.2.1:22222:localhost:22 server.test', undefined],
  ['ssh -N -L 22222:localhost:22 server.test', undefined],
  ['ssh server.test ssh -R 22222:localhost:22 other.test', undefined],
  ['ssh -N -R 22222:localhost:22', undefined],
  ['ssh -fNTy -F /etc/revtun/other/ssh_config -R 127.0.0.1:22222:localhost:22 -p 22 -- pi@server.test', undefined],
  ['ssh -v -N -T -F /run/revtun-4711-aB3dE6/ssh_config -R 127.0.0.1:22222:localhost:22 -p 22 -- pi@server.test', undefined],
  ['sshd: pi@pts/0 -R 22222:localhost:22 server.test', undefined],
  ['ssh -v -N -T -F /run/revtun_4711-aB3dE6/ssh_config -R 127.0.0.1:22222:localhost:22 -p 22 -- pi@server.test', undefined],
  ['vim ssh -R 22222:localhost:22 server.test', undefined],
  ['ssh --nonsense -R 22222:localhost:22 server.test', undefined],
  ['', undefined],
])('%s asks %p for our port', (command, server) => {
  expect(whomItAsks(command.split(' '), forwards('-R 127.0.0.1:22222:localhost:22'))?.host).toBe(server);
});

test.each<[string, string, boolean]>([
  ['-R 0:localhost:22', '0:localhost:22', false],
  ['-R /run/a.sock:localhost:22', '/run/a.sock:localhost:22', true],
  ['-R /run/a.sock:localhost:22', '/run/b.sock:localhost:22', false],
  ['-R *:80:localhost:80', '127.0.0.1:80:localhost:80', true],
  ['-R localhost:80:localhost:80', '127.0.0.1:80:localhost:80', true],
  ['-R 192.0.2.1:80:localhost:80', '192.0.2.2:80:localhost:80', false],
])('%s and -R %s are in each other\'s way: %p', (own, theirs, collide) => {
  expect(whomItAsks(['ssh', '-N', '-R', theirs, 'server.test'], forwards(own))?.host).toBe(collide ? 'server.test' : undefined);
});

test.each<[string, Partial<Tunnel>, string]>([
  ['-p 2201 server.test', { port: 2201 }, 'yes'],
  ['-p 2201 server.test', { port: 2202 }, 'no'],
  ['-o Port=2201 server.test', { port: 2202 }, 'no'],
  ['-p 2202 -o Port=2201 server.test', { port: 2202 }, 'yes'],
  ['ssh://pi@server.test:2201', { port: 2202 }, 'no'],
  ['server.test', {}, 'yes'],
  ['server.test', { port: 2202 }, 'perhaps'],
  ['-F /home/pi/conf server.test', {}, 'perhaps'],
  ['-F /home/pi/conf -p 2201 server.test', {}, 'no'],
  ['-F none server.test', {}, 'yes'],
  ['-J gw1 server.test', { jump: [{ host: 'gw1' }] }, 'yes'],
  ['-J pi@GW1:22 server.test', { jump: [{ host: 'gw1' }] }, 'yes'],
  ['-J gw1 server.test', { jump: [{ host: 'gw2' }] }, 'no'],
  ['-o ProxyJump=gw1 server.test', { jump: [{ host: 'gw2' }] }, 'no'],
  ['-J gw1 server.test', {}, 'no'],
  ['-J none server.test', {}, 'yes'],
  ['server.test', { jump: [{ host: 'gw2' }] }, 'no'],
  ['-o ProxyCommand=none server.test', {}, 'yes'],
  ['-oProxyCommand=nc\u00A0%h\u00A0%p server.test', { jump: [{ host: 'gw2' }] }, 'perhaps'],
  ['-oProxyCommand=nc -p 2201 server.test', { port: 2202 }, 'no'],
  ['127.0.0.1', { host: 'localhost' }, 'yes'],
  ['-J gw1 127.0.0.1', { host: 'localhost', jump: [{ host: 'gw1' }] }, 'no'],
])('ssh -N -R 22222:localhost:22 %s asks the server of %j: %s', async (words, changes, answer) => {
  const tunnel = exampleTunnel({ host: 'server.test', port: 22, jump: [], ...changes });
  const asked = whomItAsks(['ssh', '-N', '-R', '22222:localhost:22', ...words.split(' ')], forwards('-R 22222:localhost:22'))!;
  expect(await isSameServer(local, asked, tunnel)).toBe(answer);
});

test.each<[string, Partial<Tunnel>, boolean]>([
  ['the same server', {}, true],
  ['another server behind the same address', { port: 2202 }, false],
  ['the same name behind another gateway', { jump: [{ host: 'gw2' }] }, false],
])('another tunnel of ours to %s', async (_, changes, isRival) => {
  const other = patientOf({}, { tunnel: exampleTunnel({ name: 'other', ...changes }) });
  const { unitFile } = other.installed.places;
  const patient = patientOf({ files: { [unitFile]: (await other.machine.read(unitFile))!.toString() } });
  expect(await headline(rivalsPart, patient)).toBe(isRival ? 'port-shared-here' : 'ok');
});
