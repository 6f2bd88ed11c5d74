import { describe, expect, test } from '@jest/globals';
import { checkServer, type ServerFinding } from '../../src/checks/serverCheck.ts';
import { overridingLine, readLines } from '../../src/checks/sshdLines.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { planServerAdd } from '../../src/plan/serverDevices.ts';
import { planServerSetup } from '../../src/plan/serverSetup.ts';
import { expectedSettings, sshdConfig } from '../../src/server/content.ts';
import type { ServerState } from '../../src/server/state.ts';
import { account, after, bareServer } from '../plan/serverModel.ts';

const known = new Set(bareServer.settings.keys());
const ready = after(bareServer, planServerSetup(bareServer));
const publicKey = `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 1)]).toString('base64')}`;
const withDevice = (bind?: string) => after(ready, planServerAdd(ready, { name: 'cam', publicKey, acceptRisk: ['public'], ...(bind !== undefined && { bind }) }).steps);

const configuration = (files: Readonly<Record<string, string>>) =>
  Object.entries(files).flatMap(([path, text]) => text.split('\n').map((line, at) => `${path}\0${at + 1}:${line}`)).join('\n');
const settingsText = (isPublic: boolean, changes: Readonly<Record<string, string>> = {}) =>
  [...expectedSettings(known, { public: isPublic })].flatMap(([keyword, values]) => (changes[keyword] === undefined ? values : [changes[keyword]]).map((value) => `${keyword} ${value}`)).join('\n');

/** A server whose programs have said this; names of accounts are answered with what sshd tells of them. */
function saying(parts: Readonly<Record<string, string>>): { machine: Machine; asked: string[] } {
  const asked: string[] = [];
  const run: Machine['run'] = async (argv) => {
    asked.push(...argv.slice(5));
    const all = Object.entries({ ...parts, ...Object.fromEntries(argv.slice(5).map((name) => [`effective:${name}`, parts[`effective:${name}`] ?? settingsText(false)])) });
    return { code: 0, stdout: all.map(([name, text]) => `${name} ${Buffer.from(text).toString('base64')}\n`).join(''), stderr: '', timedOut: false, stopped: false };
  };
  return { machine: { run } as Machine, asked };
}
const check = async (state: ServerState, parts: Readonly<Record<string, string>> = {}) => checkServer(saying(parts).machine, state);
const only = (findings: readonly ServerFinding[], level: ServerFinding['level']) => findings.filter((one) => one.level === level).map(({ finding }) => finding);

const MAIN = '/etc/ssh/sshd_config';
const OURS = '/etc/ssh/sshd_config.d/00-revtun.conf';
const files = (more: Readonly<Record<string, string>>) => configuration({ [MAIN]: '# main\nInclude /etc/ssh/sshd_config.d/*.conf\nPermitTTY yes\nMatch Group people\n  PermitTTY yes', [OURS]: sshdConfig(known), ...more });

test.each<[string, Readonly<Record<string, string>>, string | undefined]>([
  ['a drop-in before ours', { '/etc/ssh/sshd_config.d/00-a.conf': '\nMatch User revtun-*\n PermitTTY yes' }, '/etc/ssh/sshd_config.d/00-a.conf:3 (Match User revtun-*)'],
  ['a drop-in with another spelling', { '/etc/ssh/sshd_config.d/00-a.conf': 'match all\nmatch user x\npermittty=yes' }, '/etc/ssh/sshd_config.d/00-a.conf:3 (Match user x)'],
  ['a drop-in behind ours', { '/etc/ssh/sshd_config.d/50-a.conf': 'Match User revtun-*\n PermitTTY yes' }, undefined],
  ['a setting for everyone before ours, which a Match overrides', { '/etc/ssh/sshd_config.d/00-a.conf': 'PermitTTY yes' }, undefined],
])('what wins over ours: %s', (_, more, where) => {
  expect(overridingLine(readLines(files(more)), 'permittty', 'yes')).toBe(where);
});

test('where our block is missing, it is the first line that says so', () => {
  expect(overridingLine(readLines(configuration({ [MAIN]: 'UsePAM yes\nPermitTTY yes\n' })), 'permittty', 'yes')).toBe(`${MAIN}:2`);
});

describe('check', () => {
  test('of a server as it should be finds no fault', async () => {
    for (const state of [ready, withDevice()]) expect(only(await check(state), 'fault')).toEqual([]);
  });

  test('asks about somebody where there is nobody yet', async () => {
    const { machine, asked } = saying({ 'effective:revtun-0': settingsText(false, { allowtcpforwarding: 'no' }) });
    expect(only(await checkServer(machine, ready), 'fault')).toEqual(['setting']);
    expect(asked).toEqual(['revtun-0']);
  });

  test('wants GatewayPorts of those alone whose port is for everyone', async () => {
    const told = { 'effective:revtun-cam': settingsText(true) };
    expect(only(await check(withDevice('*'), told), 'fault')).toEqual([]);
    expect(await check(withDevice(), told)).toContainEqual(expect.objectContaining({ finding: 'setting', setting: { keyword: 'gatewayports', seen: 'clientspecified', wanted: 'no', where: null } }));
  });

  test('sees what was changed by hand', async () => {
    const state = withDevice();
    const file = state.keyFiles.get('65536')!;
    const spoilt = (changes: Partial<ServerState>) => check({ ...state, ...changes }).then((findings) => only(findings, 'fault'));
    expect(await spoilt({ keyFiles: new Map() })).toEqual(['key-file']);
    expect(await spoilt({ keyFiles: new Map([['65536', { ...file, mode: 0o664 }]]) })).toEqual(['key-file']);
    expect(await spoilt({ keyFiles: new Map([['65536', { ...file, content: `${file.content}x` }]]), devices: [] })).toEqual(['key-file']);
    expect(await spoilt({ accounts: new Map([['revtun-cam', account('revtun-cam', 65_536, { shell: '/bin/sh' })]]) })).toEqual(['account-altered']);
    expect(await spoilt({ listeners: [{ address: '127.0.0.1', port: 20_000, uid: 33 }] })).toEqual(['port-taken']);
    expect(await spoilt({ devices: [...state.devices, { ...state.devices[0]!, name: 'two', uid: 65_537 }] })).toEqual(['port-shared']);
  });

  test('asks about 50 accounts at most, first about those that a setting names', async () => {
    const many = new Map(Array.from({ length: 60 }, (_, at) => [`revtun-d${at}`, account(`revtun-d${at}`, 65_536 + at)] as const));
    const { machine, asked } = saying({ configuration: files({ '/etc/ssh/sshd_config.d/00-a.conf': 'Match User revtun-d59' }) });
    expect((await checkServer(machine, { ...ready, accounts: many })).map(({ finding }) => finding)).toContain('not-all-asked');
    expect([asked.length, asked[0]]).toEqual([50, 'revtun-d59']);
  });

  test.each<[string, Partial<ServerState>, Readonly<Record<string, string>>, string, RegExp]>([
    ['9.2 takes twice as long', { openssh: 'OpenSSH_9.2p1' }, {}, 'client-alive', /after 80 s/],
    ['9.5 does not', { openssh: 'OpenSSH_9.5p1' }, {}, 'client-alive', /after 40 s/],
    ['10.0 neither', { openssh: 'OpenSSH_10.0p2' }, {}, 'client-alive', /after 40 s/],
    ['no penalties', {}, {}, 'penalties', /bans no address/],
    ['penalties', { settings: new Map([...bareServer.settings, ['persourcepenalties', ['crash:90 authfail:5']]]) }, {}, 'penalties', /one device with a refused key stays below/],
    ['a firewall', {}, { ufw: 'Status: active\n', admitted: '22/tcp ALLOW Anywhere\n' }, 'firewall', /ufw allow 20000\/tcp/],
    ['no firewall', {}, {}, 'firewall', /no firewall of the server itself/],
  ])('%s', async (_, changes, parts, finding, says) => {
    const findings = await check({ ...withDevice('*'), ...changes }, { 'effective:revtun-cam': settingsText(true), ...parts });
    expect(findings).toContainEqual(expect.objectContaining({ finding, says: expect.stringMatching(says) }));
  });

  test('several devices behind one address share its penalties', async () => {
    const settings = new Map([...bareServer.settings, ['persourcepenalties', ['crash:90 authfail:5']]]);
    const connections = [65_536, 65_537].map((uid) => ({ uid, port: uid - 45_536, since: new Date(0), from: '203.0.113.9' }));
    expect(await check({ ...ready, settings, connections })).toContainEqual(expect.objectContaining({ finding: 'penalties', level: 'unknown', says: expect.stringContaining('PerSourcePenaltyExemptList 203.0.113.9') }));
  });

  test('a port that a firewall lets in is no matter', async () => {
    const findings = await check(withDevice('*'), { 'effective:revtun-cam': settingsText(true), ufw: 'Status: active\n', admitted: '20000/tcp  ALLOW  Anywhere\n' });
    expect(findings.map(({ finding }) => finding)).not.toContain('firewall');
  });
});
