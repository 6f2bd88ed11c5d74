import { expect, test } from '@jest/globals';
import fc from 'fast-check';
import { deviceScript, expectedSettings, restoreScript, sessionDropIn, sshdBlock, sshdConfig, withBlock } from '../../src/server/content.ts';
import { SERVER } from '../../src/server/places.ts';

const OLD: ReadonlySet<string> = new Set();
const NEW: ReadonlySet<string> = new Set(['unusedconnectiontimeout']);

test('what sshd reads, without its remarks', () => {
  const text = sshdConfig(NEW).split('\n').filter((line) => !/^ *#/.test(line) && line !== '').join('\n');
  expect(text).toBe(`Match User revtun-* Group revtun-public
  GatewayPorts clientspecified
Match User revtun-*
  AuthenticationMethods publickey
  PubkeyAuthentication yes
  PasswordAuthentication no
  KbdInteractiveAuthentication no
  HostbasedAuthentication no
  AuthorizedKeysFile none
  AuthorizedKeysCommand /etc/ssh/revtun-device admit %U
  AuthorizedKeysCommandUser revtun_keys
  TrustedUserCAKeys none
  AllowUsers revtun-*
  AllowGroups revtun-devices revtun-public
  DisableForwarding no
  AllowTcpForwarding yes
  PermitListen any
  PermitOpen any
  GatewayPorts no
  AllowStreamLocalForwarding no
  AllowAgentForwarding no
  X11Forwarding no
  PermitTunnel no
  ForceCommand /etc/ssh/revtun-device
  MaxSessions 1
  PermitTTY no
  PermitUserRC no
  ChrootDirectory none
  Banner none
  AcceptEnv REVTUN_NOTHING
  ClientAliveInterval 10
  ClientAliveCountMax 3
  UnusedConnectionTimeout none
  ChannelTimeout *=0
  LogLevel ERROR
Match all`);
});

test('what an older sshd does not know is left out', () => {
  const less = sshdConfig(NEW).split('\n').filter((line) => !sshdConfig(OLD).split('\n').includes(line));
  expect(less.filter((line) => !/^ *#/.test(line))).toEqual(['  UnusedConnectionTimeout none', '  ChannelTimeout *=0']);
});

test('the session drop-in, whole', () => {
  expect(sessionDropIn()).toBe(`# Written by revtun-setup; made anew by: revtun-setup server setup
# Device accounts run no services, so they need no service manager: it would cost 5 MB of memory a device.
[Unit]
ConditionPathExists=!/etc/ssh/revtun/%i
`);
});

test('the texts name the places that the rest of the program knows', () => {
  expect(deviceScript()).toContain(`\nkeys=${SERVER.keys}\n`);
  expect(sessionDropIn()).toContain(`!${SERVER.keys}/%i`);
  expect(sshdConfig(NEW)).toContain(`ForceCommand ${SERVER.script}\n`);
  expect(sshdConfig(NEW)).toContain(`AuthorizedKeysCommandUser ${SERVER.keysUser}\n`);
  expect(sshdConfig(NEW)).toContain(`AllowGroups ${SERVER.group} ${SERVER.publicGroup}\n`);
  expect(restoreScript(['/a'], 'true')).toContain(`\nself=${SERVER.restore}\n`);
  expect(restoreScript(['/a'], 'true')).toContain(`\narmed=${SERVER.armed}\nrestoring=${SERVER.restoring}\n`);
});

test('what is expected of an account differs in GatewayPorts alone', () => {
  const [ordinary, everyones] = [expectedSettings(NEW, { public: false }), expectedSettings(NEW, { public: true })];
  expect(ordinary.get('gatewayports')).toEqual(['no']);
  expect(ordinary.get('allowgroups')).toEqual(['revtun-devices', 'revtun-public']);
  expect([...everyones].filter(([keyword, values]) => ordinary.get(keyword)?.join() !== values.join())).toEqual([['gatewayports', ['clientspecified']]]);
});

const main = fc.array(fc.constantFrom('UsePAM yes\n', '\n', '# a remark\n', 'Match User x\n', '  Banner none', '\t', 'Port 22', '\r\n')).map((parts) => parts.join(''));

test('the block goes in once, and comes out without a trace', () => {
  fc.assert(fc.property(main, (text) => {
    const once = withBlock(text, sshdBlock(NEW));
    expect(withBlock(once, sshdBlock(NEW))).toBe(once);
    expect(withBlock(once, undefined)).toBe(text);
    expect(withBlock(withBlock(text, sshdBlock(OLD)), sshdBlock(NEW))).toBe(once);
    expect(withBlock(text, undefined)).toBe(text);
  }));
});

test('what is written below the block stays there, on lines of its own', () => {
  fc.assert(fc.property(main, (text) => {
    const below = `${withBlock(text, sshdBlock(NEW))}Port 2222\n`;
    expect(withBlock(below, sshdBlock(OLD)).endsWith(`# END revtun-setup\nPort 2222\n`)).toBe(true);
    expect(withBlock(below, undefined)).toBe(`${text === '' || text.endsWith('\n') ? text : `${text}\n`}Port 2222\n`);
  }));
});

test.each(['# BEGIN revtun-setup\nMatch User revtun-*\n', 'UsePAM yes\n# END revtun-setup\n'])('half a block is left to a person: %j', (text) => {
  expect(() => withBlock(text, sshdBlock(NEW))).toThrow('only one is there');
  expect(() => withBlock(text, undefined)).toThrow('/etc/ssh/sshd_config');
});
