import { expect, test } from '@jest/globals';
import { howToConnect } from '../../src/tunnel/connect.ts';
import { exampleTunnel, forwards } from './example.ts';

const jump = [{ host: 'gate', user: 'me', port: 22 }, { host: '::1', user: 'x', port: 2 }];

test.each([
  ['-R 22222:localhost:22', {}, 'ssh -J pi@tunl.example.com -p 22222 me@localhost'],
  ['-R 127.0.0.1:22222:localhost:22', {}, 'ssh -J pi@tunl.example.com -p 22222 me@localhost'],
  ['-R [::1]:22222:localhost:22', {}, 'ssh -J pi@tunl.example.com -p 22222 me@::1'],
  ['-R *:22222:localhost:22', {}, 'ssh -p 22222 me@tunl.example.com'],
  ['-R 22222:localhost:22', { host: '2001:db8::1', port: 2222 }, 'ssh -J pi@[2001:db8::1]:2222 -p 22222 me@localhost'],
  ['-R 22222:localhost:22', { jump }, 'ssh -J me@gate:22,x@[::1]:2,pi@tunl.example.com -p 22222 me@localhost'],
])('%s of %j is reached by %s', (spec, changes, command) => {
  const how = howToConnect(exampleTunnel({ forwards: forwards(spec), ...changes }), 'me');
  expect(how?.command.join(' ')).toBe(command);
});

test('the forward that leads to an sshd is preferred', () => {
  expect(howToConnect(exampleTunnel({ forwards: forwards('-R 8080:localhost:80', '-R 22222:localhost:22') }), 'me')?.command).toContain('22222');
});

test.each(['-R 0:localhost:22', '-R 8080:localhost:80', '-R 1080', '-R /run/x.sock:localhost:22', '-L 1:a:2', '-D 1'])('with %s alone, nobody can say how', (spec) => {
  expect(howToConnect(exampleTunnel({ forwards: forwards(spec) }), 'me')).toBeUndefined();
});

test('the same as an ssh_config block', () => {
  expect(howToConnect(exampleTunnel(), 'me')?.config).toBe(`Host home
    HostName localhost
    Port 22222
    User me
    ProxyJump pi@tunl.example.com
    HostKeyAlias home
`);
  expect(howToConnect(exampleTunnel({ forwards: forwards('-R *:22222:localhost:22') }), 'me')?.config).toBe(`Host home
    HostName tunl.example.com
    Port 22222
    User me
    HostKeyAlias home
`);
});
