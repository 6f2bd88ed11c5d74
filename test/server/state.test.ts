import { spawn, spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { parseDeviceName, renderKeyFile } from '../../src/server/device.ts';
import { SERVER } from '../../src/server/places.ts';
import { readSockets } from '../../src/server/sockets.ts';
import { DEVICE_COMMENT, KEYS_COMMENT, includesDropIns, parseServer, readServer, type ServerState } from '../../src/server/state.ts';
import type { Machine, RunResult } from '../../src/machine/machine.ts';
import { freshFolder } from '../lab/paths.ts';
import { openSandbox, type Sandbox } from '../lab/sandbox.ts';

const MANY = 10_000;
const blobOf = (seed: number) => {
  const key = Buffer.alloc(32);
  key.writeUInt32BE(seed);
  return Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), key]).toString('base64');
};
const nameOf = (at: number) => parseDeviceName(`cam-${at}`);
const passwdOf = (at: number) => `revtun-${nameOf(at)}:x:${65_536 + at}:990::/:${SERVER.script}\n`.replace('990::', `990:${DEVICE_COMMENT}:`);

let folder: string;
let sandbox: Sandbox;

/** Runs the script where /etc/passwd, /etc/group and /etc/ssh are of our making, and nothing else is touched. */
const machine = (): Pick<Machine, 'run'> => ({
  run: async (argv) => new Promise<RunResult>((resolve) => {
    const mounts = 'mount --bind "$1/passwd" /etc/passwd; mount --bind "$1/group" /etc/group; mount --bind "$1/ssh" /etc/ssh; install -d /run/sshd; shift; exec "$@"';
    const [program = '', ...words] = sandbox.enter(['unshare', '--mount', 'sh', '-c', mounts, 'sh', folder, ...argv]);
    const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const [out, err]: [Buffer[], Buffer[]] = [[], []];
    child.stdout.on('data', (chunk: Buffer) => out.push(chunk));
    child.stderr.on('data', (chunk: Buffer) => err.push(chunk));
    child.on('close', (code) => resolve({ code: code ?? 1, stdout: Buffer.concat(out).toString(), stderr: Buffer.concat(err).toString(), timedOut: false, stopped: false }));
  }),
});
const read = () => readServer(machine() as Machine);

beforeAll(async () => {
  folder = freshFolder();
  sandbox = await openSandbox({ network: 'private' });
  mkdirSync(join(folder, 'ssh/revtun'), { recursive: true });
  mkdirSync(join(folder, 'ssh/sshd_config.d'));
  writeFileSync(join(folder, 'ssh/sshd_config'), 'Include /etc/ssh/sshd_config.d/*.conf\n# bytes: "\\\n');
  spawnSync('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'a host', '-f', join(folder, 'ssh/ssh_host_ed25519_key')]);
  writeFileSync(join(folder, 'group'), 'root:x:0:\nsshd:x:65534:\nrevtun-devices:x:990:\n');
  writeFileSync(join(folder, 'passwd'), [
    ...readFileSync('/etc/passwd', 'utf8').split('\n').filter((line) => /^(root|sshd|nobody):/.test(line)).map((line) => `${line}\n`),
    'vm:x:70000:100::/:/bin/sh\n', 'revtun_keys:x:991:991:revtun-setup keys:/nonexistent:/usr/sbin/nologin\n', 'revtun-bob:x:1000:1000:Bob:/home/bob:/bin/sh\n',
    ...Array.from({ length: MANY }, (_, at) => passwdOf(at)).filter((line) => !line.includes(':70000:')),
  ].join(''));
  for (let at = 0; at < MANY; at += 1) {
    writeFileSync(join(folder, `ssh/revtun/${65_536 + at}`), renderKeyFile({ name: nameOf(at), uid: 65_536 + at, port: 20_000 + at, bind: '127.0.0.1', publicKey: `ssh-ed25519 ${blobOf(at)} c` }));
  }
  // What somebody may have put there to confuse a reader.
  writeFileSync(join(folder, 'ssh/revtun/65537'), 'settings QUFB\n/etc/ssh/revtun/65538\0# forged\n');
  writeFileSync(join(folder, 'ssh/revtun/note\nfile:x y'), 'not a key');
});
afterAll(async () => {
  await sandbox?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe('a server with 10,000 devices', () => {
  let state: ServerState;
  let tookMs: number;

  beforeAll(async () => {
    const begin = performance.now();
    state = await read();
    tookMs = performance.now() - begin;
  });

  test('is read in one go, in less than two seconds', () => {
    expect(tookMs).toBeLessThan(process.env['CI'] === undefined ? 2000 : 10_000);
  });

  test('every device is found, but for the one whose uid is another account and the one whose file is not a key file', () => {
    expect(state.devices).toHaveLength(MANY - 2);
    expect(state.devices.find(({ name }) => name === 'cam-7')).toEqual({ name: 'cam-7', uid: 65_543, port: 20_007, bind: '127.0.0.1', publicKey: `ssh-ed25519 ${blobOf(7)} c` });
    expect(state.devices.some(({ uid }) => uid === 65_537 || uid === 70_000)).toBe(false);
  });

  test('no content of a file passes for another', () => {
    expect(state.devices.find(({ uid }) => uid === 65_538)?.name).toBe('cam-2');
    expect(state.keyFiles.get('65537')?.content).toBe('settings QUFB\n/etc/ssh/revtun/65538\0# forged\n');
    expect(state.keyFiles.get('note\nfile:x y')).toMatchObject({ kind: 'file', mode: 0o644, uid: 0 });
    expect(state.settings.get('port')).toEqual(['22']);
  });

  test('accounts, uids, groups and files are as they are', () => {
    expect(state.accounts.get('revtun-bob')).toEqual({ name: 'revtun-bob', uid: 1000, gid: 1000, comment: 'Bob', home: '/home/bob', shell: '/bin/sh' });
    expect([state.takenUids.has(70_000), state.takenUids.has(65_536 + MANY)]).toEqual([true, false]);
    expect(state.keysUser).toMatchObject({ name: 'revtun_keys', uid: 991, comment: KEYS_COMMENT });
    expect(state.accounts.has('revtun_keys')).toBe(false);
    expect([...state.groups]).toEqual([['revtun-devices', 990]]);
    expect(state.files.get(SERVER.mainConfig)).toMatchObject({ kind: 'file', mode: 0o644, uid: 0, content: 'Include /etc/ssh/sshd_config.d/*.conf\n# bytes: "\\\n' });
    expect(state.files.get(SERVER.keys)).toMatchObject({ kind: 'directory', content: undefined });
    expect(state.files.has(SERVER.dropIn)).toBe(false);
  });

  test('sshd tells its version, its keywords and its host keys', () => {
    expect(state.openssh).toMatch(/^OpenSSH_\d+\.\d+/);
    expect(state.settings.get('permitrootlogin')).toHaveLength(1);
    const [key] = state.hostKeys;
    expect(readFileSync(join(folder, 'ssh/ssh_host_ed25519_key.pub'), 'utf8')).toBe(`${key!.type} ${key!.blob} a host\n`);
    expect([state.includesDropIns, state.complaint]).toEqual([true, '']);
    expect(Math.abs(state.now.getTime() - Date.now())).toBeLessThan(60_000);
  });
});

test('without an sshd there is nothing to read', () => {
  const part = (name: string, text: string) => `${name} ${Buffer.from(text).toString('base64')}\n`;
  expect(() => parseServer(part('openssh', 'sh: sshd: not found'))).toThrow(expect.objectContaining({ id: 'no-sshd-there' }));
  expect(() => parseServer(part('openssh', 'OpenSSH_9.2p1') + part('complaint', 'line 3: Bad option'))).toThrow(expect.objectContaining({ id: 'sshd-broken', message: expect.stringContaining('line 3: Bad option') }));
});

test('a find that tells nothing is no empty server', () => {
  const part = (name: string, text: string) => `${name} ${Buffer.from(text).toString('base64')}\n`;
  expect(() => parseServer(part('openssh', 'OpenSSH_9.2p1') + part('settings', 'port 22\n') + part('nodes', ''))).toThrow(expect.objectContaining({ id: 'server-unreadable', message: expect.stringContaining('find') }));
});

test.each<[string, string[], boolean, string | undefined]>([
  ['a link', ['/etc/ssh/sshd_config\0l\x00777\x000\x000\0'], true, undefined],
  ['a file that could not be read', ['/etc/ssh/sshd_config\0f\x00644\x000\x000\0', ''], false, undefined],
])('the main file as %s has no content of its own', (_, [nodes = '', without], includes, content) => {
  const part = (name: string, text: string) => `${name} ${Buffer.from(text).toString('base64')}\n`;
  const read = without === '' ? '' : part('file:/etc/ssh/sshd_config', 'Include /etc/ssh/sshd_config.d/*.conf\n');
  const state = parseServer(part('openssh', 'OpenSSH_9.2p1') + part('settings', 'port 22\n') + part('nodes', nodes) + read);
  expect([state.includesDropIns, state.files.get(SERVER.mainConfig)?.content]).toEqual([includes, content]);
});

test.each<[string, boolean]>([
  ['Include /etc/ssh/sshd_config.d/*.conf\n', true],
  ['# comment\n\n  include  sshd_config.d/*.conf\n', true],
  ['Include = "/etc/ssh/sshd_config.d/*.conf"\n', true],
  ['Include /etc/other.conf /etc/ssh/sshd_config.d/*\n', true],
  ['#Include /etc/ssh/sshd_config.d/*.conf\n', false],
  ['Include /etc/ssh/sshd_config.d/50-cloud.conf\n', false],
  ['Match User bob\nInclude /etc/ssh/sshd_config.d/*.conf\n', false],
  ['UsePAM yes\n', false],
])('%j reads drop-ins: %s', (text, reads) => {
  expect(includesDropIns(text)).toBe(reads);
});

describe('sockets', () => {
  const clock = { now: 1_000_000, uptime: 1000, ticks: 100, order: 'little' } as const;
  const tables = {
    // A listener of uid 65536 at 127.0.0.1:20000, the login that it came by, from 203.0.113.9, and a connection forwarded.
    sockets: [
      '0100007F:4E20 00000000:0000 0A 65536 111',
      '0A0200C0:0016 097100CB:C350 01 0 112',
      '0100007F:4E20 0100007F:9C40 01 65536 113',
      '0000000000000000FFFF00000A0200C0:0016 0000000000000000FFFF0000097100CB:C351 01 0 212',
      '00000000000000000000000001000000:4E21 00000000000000000000000000000000:0000 0A 65537 211',
      '00000000:4E22 00000000:0000 0A 0 311',
    ].join('\n'),
    processes: '500 65536\n600 65537\n700 65538\n',
    started: [
      `500 (sshd: a) (b)) S 1 ${'0 '.repeat(17)}50000 0`,
      `600 (sshd) S 1 ${'0 '.repeat(17)}99000 0`,
      `700 (sshd) S 1 ${'0 '.repeat(17)}99000 0`,
    ].join('\n'),
    opened: '/proc/500/fd socket:[112]\n/proc/500/fd socket:[113]\n/proc/500/fd socket:[111]\n/proc/600/fd socket:[211]\n/proc/600/fd socket:[212]\n/proc/700/fd socket:[999]\n',
  };

  test('a device is connected when a process of its own holds its listener; its peer is who logged in', () => {
    const { connections, listeners } = readSockets(tables, clock);
    expect(connections).toEqual([
      { uid: 65_536, port: 20_000, since: new Date(999_500_000), from: '203.0.113.9' },
      { uid: 65_537, port: 20_001, since: new Date(999_990_000), from: '203.0.113.9' },
    ]);
    expect(listeners).toEqual([
      { address: '127.0.0.1', port: 20_000, uid: 65_536 },
      { address: '::1', port: 20_001, uid: 65_537 },
      { address: '0.0.0.0', port: 20_002, uid: 0 },
    ]);
  });

  test('a big-endian server counts its bytes the other way', () => {
    expect(readSockets({ ...tables, sockets: '7F000001:4E20 00000000:0000 0A 65536 111', opened: '' }, { ...clock, order: 'big' }).listeners[0]!.address).toBe('127.0.0.1');
  });
});
