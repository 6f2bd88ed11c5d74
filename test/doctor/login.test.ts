import { describe, expect, test } from '@jest/globals';
import { loginPart } from '../../src/doctor/loginPart.ts';
import type { DialResult, Machine, RunResult } from '../../src/machine/machine.ts';
import { exampleTunnel } from '../tunnel/example.ts';
import { ann, patientOf, root, seen, shows } from './patients.ts';

const BEHIND = exampleTunnel({ jump: [{ host: 'jump.test', user: 'ann' }, { host: 'next.test' }] });
/** As ssh -v has it when a jump host takes long to let it in. */
const AT_JUMP = `debug1: Connecting to jump.test [192.0.2.1] port 22.
debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1
debug1: Server host key: ssh-ed25519 SHA256:abc
debug1: SSH2_MSG_NEWKEYS received
`;
const BANNED = 'debug1: kex_exchange_identification: banner line 0: Not allowed at this time\n';

/** What the part says of a login with this outcome. */
async function login(said: Partial<RunResult>, { state = 'active', tunnel = BEHIND, who = root, dialled = { outcome: 'connected', banner: 'SSH-2.0-x' } as DialResult } = {}) {
  const denied = who === root ? {} : { files: { [tunnel.identityFile]: { denied: true as const } } };
  const patient = patientOf({ ...denied, says: { 'systemctl show': shows({ ActiveState: state }), '/usr/bin/ssh': { code: 255, ...said }, 'getent ahosts': '192.0.2.1 STREAM h\n' } }, { tunnel, who });
  const ssh: { argv: string; timeoutMs: number | undefined }[] = [];
  const run: Machine['run'] = (argv, options) => {
    if (argv[0] === '/usr/bin/ssh') ssh.push({ argv: argv.join(' '), timeoutMs: options?.timeoutMs });
    return patient.machine.run(argv, options);
  };
  const { observations, goesOn } = await seen(loginPart, { ...patient, machine: { ...patient.machine, run, dial: () => Promise.resolve(dialled) } });
  return { last: observations.at(-1)!, goesOn, ssh };
}

describe('a jump host that takes long to let it in', () => {
  const slow = { stderr: AT_JUMP, timedOut: true };

  test('has as much time as the service gives it, as far as a person waits', async () => {
    expect((await login(slow)).ssh).toEqual([{ argv: expect.stringContaining('-o ConnectTimeout=15'), timeoutMs: 12_000 }]);
    expect((await login(slow, { tunnel: exampleTunnel() })).ssh).toEqual([{ argv: expect.not.stringContaining('ConnectTimeout'), timeoutMs: 9500 }]);
  });

  test('is no fault of a tunnel that is up, and is one of a tunnel that is not', async () => {
    expect(await login(slow)).toMatchObject({ last: { check: 'login', level: 'unknown', says: expect.stringContaining('stands all the same') }, goesOn: true });
    expect(await login(slow, { state: 'failed' })).toMatchObject({ last: { finding: 'login-silent' }, goesOn: false });
  });
});

describe('whoever may not read the key', () => {
  test.each([
    ['banned, while the tunnel is up', 'active', { level: 'unknown', says: expect.stringContaining('stands all the same') }, true],
    ['banned, while it is not', 'failed', { level: 'fault', finding: 'banned' }, false],
  ])('%s', async (_what, state, last, goesOn) => {
    expect(await login({ stderr: BANNED }, { tunnel: exampleTunnel(), who: ann, state })).toMatchObject({ last, goesOn });
  });
});

describe('the cure for a jump host changes that host:', () => {
  const refused: DialResult = { outcome: 'refused', reason: 'refused' };
  test.each([
    ['the first, as nothing listens', { state: 'failed', dialled: refused }, '', 'server-refused', '--jump ann@jump.test:PORT,next.test'],
    ['the first, to whoever may not read the key', { who: ann, state: 'failed', dialled: refused }, 'ssh: connect to host jump.test port 22: Connection refused\n', 'server-refused', '--jump ann@jump.test:PORT,next.test'],
    ['the second, of no such name', { state: 'failed' }, `${AT_JUMP}Authenticated to jump.test ([192.0.2.1]:22) using "publickey".\nchannel 0: open failed: connect failed: Name or service not known\nkex_exchange_identification: Connection closed by remote host\n`, 'name-unknown', '--jump ann@jump.test,NAME'],
  ] as const)('%s', async (_what, about, stderr, finding, flag) => {
    const { last } = await login({ stderr }, about);
    expect(last).toMatchObject({ finding, cure: expect.stringContaining(flag) });
    expect(last.cure).not.toMatch(/home --(port|host) /);
  });

  test('the server itself has its own flag', async () => {
    const { last } = await login({}, { state: 'failed', tunnel: exampleTunnel(), dialled: refused });
    expect(last).toMatchObject({ finding: 'server-refused', cure: expect.stringMatching(/ --port PORT/) });
  });
});
