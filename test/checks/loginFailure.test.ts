import { expect, test } from '@jest/globals';
import { legsOf } from '../../src/checks/journey.ts';
import { loginFailure } from '../../src/checks/loginFailure.ts';
import { local } from '../../src/machine/local.ts';
import { exampleTunnel } from '../tunnel/example.ts';

// As ssh -v of OpenSSH 9.2 says it, less what nobody reads.
const CONNECTED = `debug1: Connecting to tunl.example.com [192.0.2.1] port 22.
debug1: Connection established.
debug1: Local version string SSH-2.0-OpenSSH_9.2p1 Debian-2+deb12u10
debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1 Debian-2
debug1: SSH2_MSG_KEXINIT sent
`;
const KEYED = `${CONNECTED}debug1: SSH2_MSG_KEXINIT received
debug1: expecting SSH2_MSG_KEX_ECDH_REPLY
debug1: SSH2_MSG_KEX_ECDH_REPLY received
debug1: Server host key: ssh-ed25519 SHA256:abc
debug1: SSH2_MSG_NEWKEYS received
debug1: SSH2_MSG_SERVICE_ACCEPT received
debug1: Authentications that can continue: publickey
debug1: Offering public key: /run/revtun-1/key ED25519 SHA256:def explicit
`;
const ACCEPTED = `${KEYED}debug1: Server accepts key: /run/revtun-1/key ED25519 SHA256:def explicit\n`;
const INSIDE = 'Authenticated to tunl.example.com ([192.0.2.1]:22) using "publickey".\ndebug1: Entering interactive session.\n';
const CLOSED = 'Connection closed by 192.0.2.1 port 22\r\n';
const SILENCE = 'Connection to 192.0.2.1 port 22 timed out\r\n';

test.each([
  ['packets-lost', CONNECTED + SILENCE, false],
  ['packets-lost', CONNECTED, true],
  ['server-closed', CONNECTED + CLOSED, false],
  ['no-common-algorithm', `${CONNECTED}Unable to negotiate with 192.0.2.1 port 22: no matching key exchange method found. Their offer: x\r\n`, false],
  ['host-key-changed', `${KEYED.slice(0, KEYED.indexOf('debug1: SSH2_MSG_NEW'))}@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\r\nHost key verification failed.\r\n`, false],
  ['login-silent', KEYED + SILENCE, false],
  ['login-silent', ACCEPTED, true],
  ['login-silent', ACCEPTED + INSIDE, true],
  ['login-closed', ACCEPTED + CLOSED, false],
  ['login-closed', `${ACCEPTED}${INSIDE}Connection to tunl.example.com closed by remote host.\r\n`, false],
  ['key-refused', `${KEYED}pi@tunl.example.com: Permission denied (publickey).\r\n`, false],
  ['key-refused', `${KEYED}Received disconnect from 192.0.2.1 port 22:2: Too many authentication failures\r\n`, false],
  ['ssh-option', 'Bad SSH2 cipher spec \'rot13\'.\r\n', false],
  ['ssh-failed', `${KEYED}ssh: something new\r\n`, false],
])('%s', async (id, said, timedOut) => {
  const error = await loginFailure(local, exampleTunnel(), said, timedOut);
  expect([error.id, error.message]).toEqual([id, expect.stringContaining('tunl.example.com')]);
  expect(error.message).not.toMatch(/debug1/);
});

const JUMP = exampleTunnel({ jump: [{ host: 'jump.test', user: 'ann' }] });
const THERE = `${ACCEPTED.replaceAll('tunl.example.com', 'jump.test')}Authenticated to jump.test ([192.0.2.1]:22) using "publickey".\n`;

test.each([
  ['forwarding-disabled', 'tunl.example.com', `${THERE}channel 0: open failed: administratively prohibited: open failed\nstdio forwarding failed\nkex_exchange_identification: Connection closed by remote host\n`],
  ['dns-silent', 'tunl.example.com', `${THERE}channel 0: open failed: connect failed: Temporary failure in name resolution\nkex_exchange_identification: Connection closed by remote host\n`],
  ['no-route', 'tunl.example.com', `${THERE}channel 0: open failed: connect failed: No route to host\nkex_exchange_identification: Connection closed by remote host\n`],
  ['login-silent', 'jump.test', `${ACCEPTED}Connection to UNKNOWN port 65535 timed out\n`],
  ['packets-lost', 'tunl.example.com', `${THERE}debug1: Remote protocol version 2.0, remote software version OpenSSH_8.4\ndebug1: SSH2_MSG_KEXINIT sent\nConnection to UNKNOWN port 65535 timed out\n`],
])('%s is told of %s', async (id, host, said) => {
  expect(await loginFailure(local, JUMP, said, false)).toMatchObject({ id, message: expect.stringMatching(new RegExp(`^(\\w+@)?${host}`)) });
});

test('a journey has a leg for each host that was begun', () => {
  const legs = legsOf(JUMP, `${THERE}debug1: Remote protocol version 2.0, remote software version OpenSSH_8.4p1\n`);
  expect(legs).toMatchObject([
    { name: 'jump.test', by: undefined, address: '192.0.2.1', software: 'OpenSSH_9.2p1 Debian-2', hostKey: 'ssh-ed25519 SHA256:abc', encrypted: true, authenticated: true },
    { name: 'tunl.example.com', by: { host: 'jump.test' }, address: undefined, software: 'OpenSSH_8.4p1', authenticated: false },
  ]);
});
