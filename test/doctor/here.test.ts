import { describe, expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { examine } from '../../src/doctor/examine.ts';
import { filesPart } from '../../src/doctor/filesPart.ts';
import { INSTALLED } from '../../src/doctor/here.ts';
import { inTime } from '../../src/doctor/inTime.ts';
import { lastWord } from '../../src/doctor/lastWord.ts';
import { localPortsPart } from '../../src/doctor/localPortsPart.ts';
import { keyPart, pinnedPart } from '../../src/doctor/keyPart.ts';
import { diskPart, sshPart, systemdPart } from '../../src/doctor/machineParts.ts';
import type { Observation } from '../../src/doctor/observation.ts';
import type { Part } from '../../src/doctor/patient.ts';
import { bootPart, servicePart } from '../../src/doctor/servicePart.ts';
import { findTraces, tracePart } from '../../src/doctor/traces.ts';
import { unitPart } from '../../src/doctor/unitPart.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { parseForward } from '../../src/tunnel/forward.ts';
import { exampleTunnel } from '../tunnel/example.ts';
import { ann, headline, hostOf, type Known, machineOf, patientOf, root, seen, shows } from './patients.ts';

const UNIT = '/etc/systemd/system/revtun-home.service';
const system = (changes: Record<string, string>): Known => ({ says: { 'systemctl show': shows(changes) } });

test('a tunnel that is well: every link is told, and none is a fault', async () => {
  const told: Observation[] = [];
  for await (const observation of examine(patientOf(), INSTALLED, new AbortController().signal)) told.push(observation);
  expect(told.map(({ check, level }) => `${check} ${level}`)).toEqual(['unit ok', 'files ok', 'key ok', 'pinned ok', 'boot ok', 'service ok', 'rivals ok']);
});

describe('the machine:', () => {
  const answers = { says: { 'systemctl show': 'Version=252\n', 'env XDG_RUNTIME_DIR': 'Version=252\n' } };

  test('what there is, is told', async () => {
    expect((await seen(sshPart, hostOf({}))).observations).toEqual([{ check: 'ssh', level: 'ok', says: 'OpenSSH 9.2p1' }]);
    expect((await seen(systemdPart, hostOf(answers))).observations).toEqual([{ check: 'systemd', level: 'ok', says: 'systemd 252, and it runs this machine' }]);
  });

  test('a container whose system is not run by systemd, but whose user has a manager, is enough for that user', async () => {
    const facts = { managers: { system: false, user: true } };
    expect((await seen(systemdPart, hostOf(answers, ann, facts))).observations).toMatchObject([{ level: 'ok', says: expect.stringContaining('of ann alone') }]);
    await expect(seen(systemdPart, hostOf(answers, root, facts))).rejects.toThrow(expect.objectContaining({ id: 'no-manager' }));
  });

  const silent = { code: 1, stderr: 'Failed to connect to bus: No such file or directory\n' };
  test.each([
    ['root', root, silent, 'systemd-silent'],
    ['ann', ann, silent, 'unknown'],
    ['root', root, { code: 128, timedOut: true }, 'systemd-silent'],
  ] as const)('systemd does not answer %s', async (_name, who, said, expected) => {
    expect(await headline(systemdPart, hostOf({ says: { ...answers.says, 'systemctl show': said } }, who))).toBe(expected);
  });

  const disk = (...rows: readonly string[]) => Object.fromEntries(rows.map((row) => {
    const [path, numbers] = row.split(': ') as [string, string];
    return [`df -B1 --output=size,used,avail,itotal,iavail,target -- ${path}`, `Size Used Avail Inodes IFree Mounted\n${numbers}\n`];
  }));
  const mounts = { '/proc/self/mounts': '/dev/mmcblk0p2 / ext4 rw,noatime 0 0\n/dev/loop0 /rom squashfs ro,relatime 0 0\ntmpfs /run tmpfs rw,errors=remount-ro 0 0\n' };
  test.each([
    ['room', ['/run: 1000000 0 1000000 500 400 /run'], 'ok'],
    ['no room', ['/run: 1000000 1000000 0 500 400 /run'], 'disk-full'],
    ['less room than a file takes', ['/etc/revtun: 1000000 999000 1000 500 400 /'], 'disk-full'],
    ['no inodes', ['/var/log: 1000000 0 1000000 500 0 /'], 'disk-full'],
    ['inodes that are not counted', ['/etc/revtun: 1000000 0 1000000 0 0 /'], 'ok'],
    ['inodes that df has no number of', ['/etc/revtun: 1000000 0 1000000 - - /'], 'ok'],
    ['room for root alone', ['/etc/revtun: 1000000 900000 0 500 400 /'], 'ok'],
    ['a read-only disk, which is always full', ['/etc/systemd/system: 1000000 1000000 0 500 0 /rom'], 'ok'],
  ])('%s: %s', async (_name, rows, expected) => {
    expect(await headline(diskPart, hostOf({ files: mounts, says: disk(...rows) }))).toBe(expected);
  });

  test('a disk whose last room is root\'s is full for a user who lives there', async () => {
    const known = { files: mounts, says: disk('/home/ann: 1000000 900000 0 500 400 /', '/etc/revtun: 1000000 900000 0 500 400 /') };
    expect(await headline(diskPart, hostOf(known, ann))).toBe('disk-full');
    expect(await headline(diskPart, hostOf(known, root))).toBe('ok');
  });
});

describe('the unit and its files:', () => {
  const well = patientOf();
  const text = async (path: string) => String(await well.machine.read(path));
  const { sshConfig } = well.installed.places;

  test.each<[string, string, Part, (text: string) => string, string]>([
    ['another port', UNIT, unitPart, (unit) => unit.replace('22222', '22223'), 'unit-altered'],
    ['one line less', UNIT, unitPart, (unit) => unit.replace('Restart=always\n', ''), 'unit-altered'],
    ['one line more', UNIT, unitPart, (unit) => unit.replace('[Service]\n', '[Service]\nNice=5\n'), 'unit-altered'],
    ['cut short', UNIT, unitPart, (unit) => unit.slice(0, -9), 'unit-altered'],
    ['of another version', UNIT, unitPart, (unit) => unit.replace(/^(# Written by revtun-setup) \S+\./, '$1 0.0.9.').replace('Restart=always', 'Restart=no'), 'unknown'],
    ['another ssh_config', sshConfig, filesPart, (config) => config.replace('BatchMode yes', 'BatchMode no'), 'config-altered'],
  ])('%s', async (_name, path, part, change, expected) => {
    expect(await headline(part, patientOf({ files: { [path]: change(await text(path)) } }))).toBe(expected);
  });

  test.each([
    [(unit: string) => unit.replace('Restart=always', 'Restart=no'), 'line 20 is "Restart=no", and was "Restart=always"'],
    [(unit: string) => unit.replace(':22222:', ':22223:'), 'line 4 is "…7.0.0.1:22223:localhost:22 by pi@tunl…", and was "…'],
    [(unit: string) => unit.replace('Restart=always\n', ''), '"Restart=always" is gone from line 20'],
    [(unit: string) => unit.replace('Restart=always\n', 'Nice=5\nRestart=always\n'), 'line 20, "Nice=5", was added'],
    [(unit: string) => `${unit}more\n`, ', "more", was added'],
    [(unit: string) => `${unit}\nmore`, '"more" was added at its end'],
  ])('what differs is named: %#', async (change, says) => {
    const { observations } = await seen(unitPart, patientOf({ files: { [UNIT]: change(await text(UNIT)) } }));
    expect(observations).toMatchObject([{ finding: 'unit-altered', says: expect.stringContaining(says) }]);
  });

  test('another mode is named', async () => {
    const { observations } = await seen(unitPart, patientOf({ files: { [UNIT]: { content: await text(UNIT), mode: 0o666 } } }));
    expect(observations).toMatchObject([{ finding: 'unit-altered', says: expect.stringContaining('its mode is 0666, and was 0644') }]);
  });

  const dropIn = (content: string, changes: Record<string, string> = {}): Known => ({
    files: { [`${UNIT}.d/mine.conf`]: content }, ...system({ DropInPaths: `${UNIT}.d/mine.conf`, ...changes }),
  });
  test.each<[string, Known, string, string]>([
    ['of no consequence', dropIn('[Service]\nNice=5\nLoadCredential=other:/x\n# Restart=no\n'), 'ok', ''],
    ['that says the same', dropIn('[Service]\nRestart=always\n'), 'ok', ''],
    ['with another restart', dropIn('[Service]\n Restart = no\n', { Restart: 'no' }), 'drop-in-overrides', 'Restart=no'],
    ['with a start limit', dropIn('[Unit]\nStartLimitIntervalSec=60\n', { StartLimitIntervalUSec: '1min' }), 'drop-in-overrides', 'StartLimitIntervalSec=60'],
    ['with a start limit by its old name', dropIn('[Service]\nStartLimitInterval=60\n', { StartLimitIntervalUSec: '1min' }), 'drop-in-overrides', 'StartLimitIntervalSec=1min'],
    ['with another command', dropIn('[Service]\nExecStart=\nExecStart=/bin/true\n'), 'drop-in-overrides', 'ExecStart='],
    ['with another key', dropIn('[Service]\nLoadCredential=key:/x\n'), 'drop-in-overrides', 'LoadCredential=key:/x'],
    ['as another user', dropIn('[Service]\nUser=root\n', { User: 'root' }), 'drop-in-overrides', 'User=root'],
    ['that systemd does not take', dropIn('[Service]\nNice=5\n', { LoadState: 'bad-setting' }), 'drop-in-overrides', 'bad-setting'],
  ])('a drop-in %s', async (_name, known, expected, says) => {
    const { observations } = await seen(unitPart, patientOf(known));
    expect(observations).toMatchObject([{ ...(expected === 'ok' ? { level: 'ok' } : { finding: expected }), says: expect.stringContaining(says) }]);
  });

  test('a mask beside the unit', async () => {
    const path = '/run/systemd/system.control/revtun-home.service';
    const known = { files: { [path]: { kind: 'symlink' as const } }, says: { 'systemctl show': shows({ LoadState: 'masked' }), [`readlink -- ${path}`]: '/dev/null\n' } };
    expect((await seen(unitPart, patientOf(known))).observations).toMatchObject([{ finding: 'unit-masked', says: expect.stringContaining(path), cure: expect.stringContaining('--fix') }]);
    expect((await seen(unitPart, patientOf(system({ LoadState: 'masked' })))).observations).toMatchObject([{ finding: 'unit-masked', cure: expect.stringContaining('systemctl unmask') }]);
  });

  test('what an installation elsewhere is about to read is no fault', async () => {
    let looks = 0;
    const patient = patientOf();
    const run: typeof patient.machine.run = async (argv, options) => {
      if (argv[1] !== 'show') return patient.machine.run(argv, options);
      looks += 1;
      return { code: 0, stderr: '', timedOut: false, stopped: false, stdout: shows({ NeedDaemonReload: looks < 3 ? 'yes' : 'no' }) };
    };
    expect(await headline(unitPart, { ...patient, machine: { ...patient.machine, run } })).toBe('ok');
    expect(looks).toBe(3);
  });

  test('where systemd speaks to root alone, a user is told so, and nothing is a fault', async () => {
    const patient = patientOf({ says: { 'systemctl show': { code: 1, stderr: 'Failed to connect to bus' } } }, { who: ann });
    for (const part of [unitPart, bootPart, servicePart]) {
      const { observations, goesOn } = await seen(part, patient);
      expect([observations.some(({ level, says }) => level === 'unknown' && says.includes('sudo')), goesOn]).toEqual([true, true]);
      expect(observations.filter(({ level }) => level === 'fault')).toEqual([]);
    }
  });

  test.each<[string, Known, string]>([
    ['gone', { says: { 'getent passwd': { code: 2 } } }, 'service-user-missing'],
    ['made by somebody else', { says: { 'getent passwd': 'revtun:x:1001:1001:Rev Tun:/home/revtun:/bin/bash' } }, 'unknown'],
  ])('a service user that is %s', async (_name, known, expected) => {
    expect(await headline(filesPart, patientOf(known))).toBe(expected);
  });
});

describe('what is left of a tunnel:', () => {
  const directory = { '/etc/revtun/home': { kind: 'directory' as const } };
  test.each<[string, Known, string]>([
    ['files without a unit', { files: { ...directory, '/etc/revtun/home/ssh_config': '' } }, 'half-installed'],
    ['a new key without a unit', { files: { ...directory, '/etc/revtun/home/key': '', '/etc/revtun/home/key.pub': '' } }, 'half-installed'],
    ['an empty unit', { files: { ...directory, [UNIT]: '' } }, 'half-installed'],
    ['a unit with a damaged record', { files: { ...directory, [UNIT]: '# Written by revtun-setup 0.1.0.\n' } }, 'record-damaged'],
    ['a unit of somebody else', { files: { ...directory, [UNIT]: '[Service]\n' } }, 'unit-altered'],
    ['a mask', { files: { ...directory, [UNIT]: { kind: 'symlink' } }, says: { readlink: '/dev/null\n' } }, 'unit-masked'],
    ['a link to another unit', { files: { ...directory, [UNIT]: { kind: 'symlink' } }, says: { readlink: '/root/mine.service\n' } }, 'unit-altered'],
  ])('%s', async (_name, known, expected) => {
    const [trace] = await findTraces(machineOf(known), 'system', root);
    expect([trace?.name, await headline(tracePart(trace!), hostOf(known))]).toEqual(['home', expected]);
  });
});

test('a key that waits to be admitted on the server is not told to be taken away', async () => {
  const files = { '/etc/revtun/home': { kind: 'directory' as const }, '/etc/revtun/home/key': '', '/etc/revtun/home/key.pub': '' };
  const cureOf = async (known: Known) => (await seen(tracePart((await findTraces(machineOf(known), 'system', root))[0]!), hostOf(known))).observations[0]?.cure;
  expect(await cureOf({ files })).toMatch(/^Let the server admit the key[^]*key\.pub\n(?![^]*uninstall)/);
  expect(await cureOf({ files: { ...files, '/etc/revtun/home/known_hosts': '' } })).toContain('uninstall');
});

describe('a port that -L is to listen on', () => {
  const patient = (state: string, outcome: 'connected' | 'refused') => {
    const well = patientOf(system({ ActiveState: state }));
    const dial: Machine['dial'] = () => Promise.resolve(outcome === 'connected' ? { outcome, banner: '' } : { outcome, reason: 'refused' });
    return { ...well, machine: { ...well.machine, dial }, tunnel: { ...well.tunnel, forwards: [...well.tunnel.forwards, parseForward('local', '8080:intra.test:80')] } };
  };
  test.each([
    ['activating', 'connected', 'port-in-use-here'],
    ['activating', 'refused', 'ok'],
    ['active', 'connected', 'ok'],
  ] as const)('service %s, port %s: %s', async (state, outcome, expected) => {
    expect(await headline(localPortsPart, patient(state, outcome))).toBe(expected);
  });
});

test.each([
  ['active', undefined],
  ['activating', 'not-up'],
  ['failed', 'not-up'],
])('in the end, a tunnel whose service is %s', async (state, expected) => {
  expect((await lastWord(patientOf(system({ ActiveState: state })), 300))?.finding).toBe(expected);
});

describe('the key and the pinned host keys:', () => {
  const path = '/root/.ssh/id_ed25519';
  const says = (stderr: string): Known => ({ says: { 'ssh-keygen -y': { code: 255, stderr } } });
  test.each<[string, Known, string, typeof ann]>([
    ['fine', {}, 'ok', root],
    ['root\'s, as ann', { files: { [path]: { denied: true } } }, 'unknown', ann],
    ['kept even from root', { files: { [path]: { denied: true } } }, 'key-unreadable', root],
    ['public', { files: { [path]: 'ssh-ed25519 AAAA' } }, 'key-not-private', root],
    ['too open', says('@ WARNING: UNPROTECTED PRIVATE KEY FILE! @'), 'key-too-open', root],
    ['locked', says('Load key "x": incorrect passphrase supplied'), 'key-passphrase', root],
    ['to be touched', { says: { 'ssh-keygen -y': 'sk-ssh-ed25519@openssh.com AAAA' } }, 'key-needs-touch', root],
  ])('a key that is %s', async (_name, known, expected, who) => {
    const { observations, goesOn } = await seen(keyPart, patientOf(known, { who }));
    expect([observations[0]?.finding ?? observations[0]?.level, goesOn]).toEqual([expected, observations[0]?.level !== 'fault']);
    expect(observations[0]?.says).not.toContain('--key:');
  });

  test('what is seen of a key is told', async () => {
    expect((await seen(keyPart, patientOf())).observations).toEqual([{ check: 'key', level: 'ok', says: `${path}: ed25519, root's, mode 0600, no passphrase` }]);
  });

  test('each jump host has to be pinned, too', async () => {
    const tunnel = exampleTunnel({ jump: [{ host: 'jump.test', port: 2222 }] });
    const { observations } = await seen(pinnedPart, patientOf({}, { tunnel }));
    expect(observations).toMatchObject([{ finding: 'not-pinned', says: expect.stringContaining('no host key of [jump.test]:2222') }]);
  });
});

describe('the service:', () => {
  const failing = (status: number) => ({ ActiveState: 'activating', SubState: 'auto-restart', Result: 'exit-code', ExecStart: `{ path=/bin/sh ; pid=9 ; code=exited ; status=${status} }` });
  test.each<[string, Record<string, string>, string]>([
    ['up', {}, 'ok'],
    ['connecting', failing(255), 'unknown'],
    ['connecting, as ssh said so', failing(1), 'unknown'],
    ['stopped', { ActiveState: 'inactive', SubState: 'dead' }, 'stopped'],
    ['about to be started', { ActiveState: 'inactive', SubState: 'dead', Job: '4711' }, 'unknown'],
    ['being stopped', { ActiveState: 'deactivating', SubState: 'stop-sigterm' }, 'unknown'],
    ['failed by a limit', { ActiveState: 'failed', Result: 'start-limit-hit' }, 'gave-up'],
    ['failed in its sandbox', { ...failing(226), ActiveState: 'failed' }, 'sandbox-failed'],
    ['in a sandbox that cannot be made', failing(226), 'sandbox-failed'],
    ['of a user that there is not', failing(217), 'sandbox-failed'],
    ['without a shell', failing(203), 'program-missing'],
    ['ended for want of memory', { ...failing(0), Result: 'oom-kill' }, 'out-of-memory'],
  ])('%s', async (_name, changes, expected) => {
    expect(await headline(servicePart, patientOf(system(changes)))).toBe(expected);
  });

  test('how often it has tried is told, and why it failed', async () => {
    const words = { SYSLOG_IDENTIFIER: 'ssh', MESSAGE: 'ssh: connect to host tunl.example.com port 22: Connection refused' };
    const journal = [words, { MESSAGE_ID: 'd9b373ed55a64feb8242e02dbe79a49c' }].map((entry) => JSON.stringify(entry)).join('\n');
    const { observations } = await seen(servicePart, patientOf({ says: { 'systemctl show': shows({ ...failing(255), NRestarts: '12' }), journalctl: journal } }));
    expect(observations[0]?.says).toBe(`connecting, attempt 13; last reason: ${words.MESSAGE}`);
  });

  test.each([['disabled', 'not-enabled'], ['enabled-runtime', 'not-enabled'], ['enabled', 'ok']])('%s at boot: %s', async (state, expected) => {
    expect(await headline(bootPart, patientOf(system({ UnitFileState: state })))).toBe(expected);
  });

  test('a user\'s needs lingering', async () => {
    const tunnel = exampleTunnel({ scope: 'user' });
    expect(await headline(bootPart, patientOf({}, { tunnel, who: ann }))).toBe('lingering-off');
    expect(await headline(bootPart, patientOf({ files: { '/var/lib/systemd/linger/ann': '' } }, { tunnel, who: ann }))).toBe('ok');
  });
});

describe('an end of the time', () => {
  const all = async (parts: readonly (readonly [string, Part])[], signal: AbortSignal) => {
    const told: Observation[] = [];
    const patient = patientOf();
    const machine = inTime({ ...patient.machine, run: async (argv, options) => {
      await new Promise<void>((resolve) => { options?.signal?.addEventListener('abort', () => resolve()); });
      return { code: 128, stdout: '', stderr: argv.join(' '), timedOut: false, stopped: true };
    } }, signal);
    for await (const observation of examine({ ...patient, machine }, parts, signal)) told.push(observation);
    return told;
  };

  test('is told, and is no fault', async () => {
    const end = new AbortController();
    void sleep(50).then(() => end.abort());
    expect((await all(INSTALLED, end.signal)).map(({ level, says }) => [level, says])).toEqual([
      ['unknown', 'no answer within the time for all of it'], ['unknown', 'not looked at: the time was over'],
    ]);
  });

  test('what may not be looked at is told, and what comes after is looked at', async () => {
    const denied: Part = () => { throw Object.assign(new Error('EACCES'), { code: 'EACCES' }); };
    const told: Observation[] = [];
    for await (const observation of examine(patientOf(), [['first', denied], ['key', keyPart]], new AbortController().signal)) told.push(observation);
    expect(told.map(({ check, level }) => `${check} ${level}`)).toEqual(['first unknown', 'key ok']);
  });
});
