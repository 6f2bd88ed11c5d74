import { expect, test } from '@jest/globals';
import { whomItAsks } from '../../src/doctor/rivalsPart.ts';
import { forwards } from '../tunnel/example.ts';

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
  ['vim ssh -R 22222:localhost:22 server.test', undefined],
  ['ssh --nonsense -R 22222:localhost:22 server.test', undefined],
  ['', undefined],
])('%s asks %p for our port', (command, server) => {
  expect(whomItAsks(command.split(' '), forwards('-R 127.0.0.1:22222:localhost:22'))).toBe(server);
});

test.each<[string, string, boolean]>([
  ['-R 0:localhost:22', '0:localhost:22', false],
  ['-R /run/a.sock:localhost:22', '/run/a.sock:localhost:22', true],
  ['-R /run/a.sock:localhost:22', '/run/b.sock:localhost:22', false],
  ['-R *:80:localhost:80', '127.0.0.1:80:localhost:80', true],
  ['-R localhost:80:localhost:80', '127.0.0.1:80:localhost:80', true],
  ['-R 192.0.2.1:80:localhost:80', '192.0.2.2:80:localhost:80', false],
])('%s and -R %s are in each other\'s way: %p', (own, theirs, collide) => {
  expect(whomItAsks(['ssh', '-N', '-R', theirs, 'server.test'], forwards(own))).toBe(collide ? 'server.test' : undefined);
});
