import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { join } from 'node:path';
import type { Draft } from '../../src/input/fields.ts';
import { readSshCommand } from '../../src/input/sshCommand.ts';
import { forwards } from '../tunnel/example.ts';
import { type Caller, makeCaller } from './caller.ts';

let caller: Caller;
beforeAll(() => {
  caller = makeCaller('Host box\n    HostName tunl.example.com\n    User pi\n    RemoteForward 2222 localhost:22\n    ProxyJump gate\n');
  caller.write('other', 'Host box\n    HostName other.example.com\n    User you\n');
  for (const key of ['id', 'a b']) caller.write(`.ssh/${key}`, 'key');
});
afterAll(() => caller.dispose());

/** Blanks separate, and {home} is the caller's. */
const read = (command: string) => {
  const { machine, who } = caller;
  const words = command.split(' ').map((word) => word.replace('{home}', who.home));
  return readSshCommand(words, machine, who, { cwd: join(who.home, '.ssh'), home: who.home });
};

const plain = { host: { host: 'h' }, user: 'pi', port: 22, remoteForward: forwards('-R 22222:localhost:22'), localForward: [], dynamicForward: [] };

describe('an ssh command', () => {
  test.each<[string, Partial<Draft>]>([
    ['ssh -fNTR 22222:localhost:22 pi@h', {}],
    ['/usr/bin/ssh -R22222:localhost:22 -l pi h', {}],
    ['-R 22222:localhost:22 pi@h', {}],
    ['ssh pi@h -N -R 22222:localhost:22', {}],
    ['ssh -qnxvvv -N -R 22222:localhost:22 -- pi@h', {}],
    ['ssh -R 22222:localhost:22 ssh://pi@h:2222', { port: 2222 }],
    ['ssh -R 22222:localhost:22 -p 2222 pi@h', { port: 2222 }],
    ['ssh -R 22222:localhost:22 -oPort=2222 -oUser=pi h', { port: 2222 }],
    ['ssh -R 22222:localhost:22 -R *:80:/run/x.sock pi@h', { remoteForward: forwards('-R 22222:localhost:22', '-R *:80:/run/x.sock') }],
    ['ssh -R :22222:[::1]:22 -R /run/s:localhost:22 -R 1080 pi@h', { remoteForward: forwards('-R *:22222:[::1]:22', '-R /run/s:localhost:22', '-R 1080') }],
    ['ssh -L 8080:intranet:80 -D 1080 -R 22222:localhost:22 pi@h', { localForward: forwards('-L 8080:intranet:80'), dynamicForward: forwards('-D 1080') }],
    ['ssh -L 8080:/run/x.sock -L /run/y:/run/z -D *:1080 -R 22222:localhost:22 pi@h', { localForward: forwards('-L 8080:/run/x.sock', '-L /run/y:/run/z'), dynamicForward: forwards('-D *:1080') }],
    ['ssh -J me@a:1,[::1] -R 22222:localhost:22 pi@h', { jump: [{ user: 'me', host: 'a', port: 1 }, { host: '::1' }] }],
    ['ssh -i id -R 22222:localhost:22 pi@h', { key: '{home}/.ssh/id' }],
    ['ssh -i ~/.ssh/id -R 22222:localhost:22 pi@h', { key: '{home}/.ssh/id' }],
    ['ssh -oIdentityFile=~/.ssh/id -R 22222:localhost:22 pi@h', { key: '{home}/.ssh/id' }],
    ['ssh -c aes128-ctr -R 22222:localhost:22 pi@h', { cipher: 'aes128-ctr' }],
    ['ssh -oServerAliveInterval=30 -oServerAliveCountMax=3 -oExitOnForwardFailure=yes -R 22222:localhost:22 pi@h', { keepalive: 30 }],
    ['ssh -oHostName=10.0.0.1 -R 22222:localhost:22 pi@h', { host: { host: '10.0.0.1' } }],
    ['ssh -oProxyJump=none -R 22222:localhost:22 pi@h', { jump: [] }],
  ])('%s', async (command, more) => {
    const expected = { ...plain, ...more };
    if (expected.key !== undefined) expected.key = expected.key.replace('{home}', caller.who.home);
    expect(await read(command)).toEqual(expected);
  });

  test('takes over what ssh_config adds to it, and keeps the alias to be shown', async () => {
    expect(await read('ssh -N -R 22222:localhost:22 box')).toEqual({
      ...plain, host: { host: 'box' }, jump: [{ host: 'gate' }], remoteForward: forwards('-R 22222:localhost:22', '-R 2222:localhost:22'),
    });
  });

  test('with a configuration of its own means what that says, not what ours does', async () => {
    expect(await read('ssh -F {home}/other -R 22222:localhost:22 box')).toEqual({ ...plain, host: { host: 'other.example.com' }, user: 'you', jump: [] });
  });

  test.each([
    ['ssh -R 1:a:2', 'no destination'],
    ['ssh -R 1:a:2 h uptime -p', '"uptime -p": a service forwards ports and runs no command on the server'],
    ['ssh -A -R 1:a:2 h', '-A: a service has no agent to forward'],
    ['ssh -fNTAR 1:a:2 h', '-A: a service has no agent to forward'],
    ['ssh -t -R 1:a:2 h', '-t: a service has no terminal'],
    ['ssh -X -R 1:a:2 h', '-X: a service has no display'],
    ['ssh -W a:1 h', '-W: it connects stdin and stdout'],
    ['ssh -M -S /s -R 1:a:2 h', '-S: a shared connection belongs to a person'],
    ['ssh -g -R 1:a:2 h', '-g: say who may connect'],
    ['ssh -w 0:0 h', '-w: a tun device is not a forward'],
    ['ssh -oStrictHostKeyChecking=no -R 1:a:2 h', '-o StrictHostKeyChecking=no: host keys are pinned here; say --host-key'],
    ['ssh -oUserKnownHostsFile=/dev/null -R 1:a:2 h', '--known-hosts'],
    ['ssh -oProxyCommand=nc -R 1:a:2 h', '-o ProxyCommand=nc: is not carried over'],
    ['ssh -oPermitLocalCommand=yes -oLocalCommand=id -R 1:a:2 h', '-o LocalCommand=id: is not carried over'],
    ['ssh -R nonsense h', 'ssh does not accept this command'],
    ['ssh -Z -R 1:a:2 h', 'ssh has no option -Z'],
    [String.raw`ssh -R 1:/run/a\:b h`, '"1:/run/a:b" is not a forward'],
    ['ssh -D /run/x.sock h', 'is not a forward: use [BIND:]PORT'],
    ['ssh -R 1:a:2 -i {home}/.ssh/a\tb h', 'a service cannot be given a path with blanks'],
  ])('%j is refused: %s', async (command, reason) => {
    await expect(read(command)).rejects.toThrow(expect.objectContaining({ name: 'ExpectedError', exitCode: 2, id: 'ssh-command', message: expect.stringContaining(reason) }));
  });

  test('everything that makes no sense is named at once', async () => {
    const refusal = await read('ssh -A -X -oLocalCommand=id h ls').catch((error: Error) => error.message);
    expect(refusal).toMatch(/-A: .*\n.*-X: .*\n.*LocalCommand.*\n.*"ls"/);
  });
});
