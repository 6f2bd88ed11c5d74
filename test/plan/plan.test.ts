import { describe, expect, test } from '@jest/globals';
import type { Identity } from '../../src/machine/machine.ts';
import { local } from '../../src/machine/local.ts';
import { NO_NOTICE } from '../../src/plan/notice.ts';
import { type Desired, planFarewell, planInstall, planKeepKey, planUninstall } from '../../src/plan/plan.ts';
import { ancestorsToMake, type Present, type PresentFile } from '../../src/plan/present.ts';
import type { Step } from '../../src/plan/step.ts';
import type { Scope, Tunnel } from '../../src/tunnel/tunnel.ts';
import { wantsNotices } from '../../src/tunnel/notice.ts';
import { tunnelArgv } from '../../src/tunnel/ssh.ts';
import { placesOf } from '../../src/unit/places.ts';
import { renderFiles } from '../../src/unit/render.ts';
import { systemctl } from '../../src/unit/systemctl.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const root: Identity = { uid: 0, userName: 'root', home: '/root', env: {} };
const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: { XDG_RUNTIME_DIR: '/run/user/1000' } };
const whoOf = (scope: Scope) => (scope === 'system' ? root : ann);
const systemd = (scope: Scope) => systemctl(local, scope, whoOf(scope));

function desired(changes: Partial<Tunnel> = {}, more: Partial<Desired> & { hostKeys?: string } = {}): Desired {
  const { hostKeys = 'tunl.example.com ssh-ed25519 AAAA\n', ...rest } = more;
  const tunnel = exampleTunnel(changes);
  const places = placesOf(tunnel.scope, tunnel.name, whoOf(tunnel.scope).home);
  return { tunnel, places, files: renderFiles(tunnel, places, hostKeys, { lingering: false, namespaces: true }), start: true, selinux: false, ...rest };
}

const stat = (kind: PresentFile['kind'], mode: number, content?: string): PresentFile => ({ kind, mode, uid: 0, gid: 0, size: 0, content });

const fresh: Present = {
  files: new Map(),
  service: { activeState: 'inactive', enabled: false, needsReload: false, runningArgv: undefined },
  notice: NO_NOTICE,
  serviceUser: 'absent',
  lingering: false,
  leftovers: [],
};

/** How a machine looks after an install went through. */
function installed({ tunnel, places, files }: Desired): Present {
  return {
    files: new Map([
      ...ancestorsToMake(places).map((path) => [path, stat('directory', 0o755)] as const),
      ...files.map(({ path, content, mode }) => [path, stat('file', mode, content)] as const),
    ]),
    service: { activeState: 'active', enabled: true, needsReload: false, runningArgv: tunnelArgv(tunnel, places.sshConfig) },
    notice: wantsNotices(tunnel) ? { ...NO_NOTICE, pathState: 'active' } : NO_NOTICE,
    serviceUser: tunnel.scope === 'system' ? 'ours' : 'absent',
    lingering: tunnel.scope === 'user',
    leftovers: [],
  };
}

const plan = (want: Desired, present: Present) => planInstall(want, present, systemd(want.tunnel.scope), whoOf(want.tunnel.scope).userName);

const wanted = desired();
const [knownHosts, config, unit] = wanted.files.map((file) => ({ kind: 'write' as const, ...file }));
const reload = ['systemctl', 'daemon-reload'];
const start: Step = { kind: 'run', title: 'start', argv: ['systemctl', 'start', '--', 'revtun-home.service'], undo: ['systemctl', 'stop', '--', 'revtun-home.service'] };
/** What a start that is undone may leave of itself. */
const forget: Step = { kind: 'on-undo', argv: ['rm', '-rf', '--', '/run/revtun-home'] };
const restart: Step = { kind: 'run', title: 'restart', argv: ['systemctl', 'restart', '--', 'revtun-home.service'], undo: ['systemctl', 'stop', '--', 'revtun-home.service'], outlivesSession: true };
const enable: Step = { kind: 'run', title: 'start at boot', argv: ['systemctl', 'enable', '--', 'revtun-home.service'], undo: ['systemctl', 'disable', '--', 'revtun-home.service'] };
const restartOnUndo: Step = { kind: 'on-undo', argv: ['systemctl', 'restart', '--', 'revtun-home.service'] };
const addUser: Step = {
  kind: 'run', title: 'make the service user',
  argv: ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', '--comment', 'revtun-setup tunnels', 'revtun'],
  undo: ['userdel', 'revtun'],
};

describe('installing for the system', () => {
  test('on a fresh machine: all of it, the unit last of the files', () => {
    expect(plan(wanted, fresh)).toEqual([
      { kind: 'make-directory', path: '/etc/revtun', mode: 0o755 },
      { kind: 'make-directory', path: '/etc/revtun/home', mode: 0o755 },
      addUser,
      knownHosts,
      config,
      { ...unit, settle: reload, settledLater: true },
      enable,
      forget,
      start,
    ]);
  });

  test('with a key that was made for it', () => {
    const newKey = { privateKey: 'PRIVATE\n', publicKey: 'ssh-ed25519 AAAA me' };
    expect(plan(desired({}, { newKey }), fresh).slice(2, 4)).toEqual([
      { kind: 'write', path: '/etc/revtun/home/key', content: 'PRIVATE\n', mode: 0o600 },
      { kind: 'write', path: '/etc/revtun/home/key.pub', content: 'ssh-ed25519 AAAA me\n', mode: 0o644 },
    ]);
  });

  test('once more: nothing', () => {
    expect(plan(wanted, installed(wanted))).toEqual([]);
  });

  test('beside another tunnel: neither the user nor the directory again', () => {
    const present = { ...fresh, serviceUser: 'ours', files: new Map([['/etc/revtun', stat('directory', 0o755)]]) } as const;
    expect(plan(wanted, present).slice(0, 2)).toEqual([{ kind: 'make-directory', path: '/etc/revtun/home', mode: 0o755 }, knownHosts]);
  });

  test('without --start: enabled and left as it is', () => {
    expect(plan({ ...wanted, start: false }, fresh).at(-1)).toEqual(enable);
    expect(plan({ ...wanted, start: false }, { ...installed(wanted), service: { ...fresh.service, enabled: true } })).toEqual([]);
    expect(plan(desired({ port: 1 }, { start: false }), installed(wanted)).map(({ kind }) => kind)).toEqual(['write']);
  });

  test('where SELinux enforces: labels after the files, before the start', () => {
    const label: Step = { kind: 'run', title: 'label for SELinux', argv: ['restorecon', '-R', '/etc/revtun/home', '/etc/systemd/system/revtun-home.service'] };
    expect(plan({ ...wanted, selinux: true }, fresh).slice(-4)).toEqual([label, enable, forget, start]);
    expect(plan({ ...wanted, selinux: true }, installed(wanted))).toEqual([]);
  });

  test('another forward: the unit alone, and a restart that an undo repeats', () => {
    const changed = desired({ forwards: [{ kind: 'remote', listen: { port: 1 }, target: { host: 'localhost', port: 22 } }] });
    expect(plan(changed, installed(wanted))).toEqual([
      restartOnUndo,
      { kind: 'write', ...changed.files[2], settle: reload },
      restart,
    ]);
  });

  test('another keepalive: the configuration and the record', () => {
    const changed = desired({ keepalive: 9 });
    expect(plan(changed, installed(wanted))).toEqual([
      restartOnUndo,
      { kind: 'write', ...changed.files[1] },
      { kind: 'write', ...changed.files[2], settle: reload },
      restart,
    ]);
  });

  test('another server: both host keys are there until the unit has changed over', () => {
    const changed = desired({ host: 'other.example.com' }, { hostKeys: 'other.example.com ssh-ed25519 BBBB\n' });
    expect(plan(changed, installed(wanted))).toEqual([
      restartOnUndo,
      { kind: 'write', ...changed.files[0], content: `${changed.files[0]!.content}tunl.example.com ssh-ed25519 AAAA\n` },
      { kind: 'write', ...changed.files[2], settle: reload },
      restart,
      { kind: 'write', ...changed.files[0] },
    ]);
  });

  test('another host key of the same server: no restart, ssh reads it at the next connection', () => {
    const changed = desired({}, { hostKeys: 'tunl.example.com ssh-ed25519 CCCC\n' });
    expect(plan(changed, installed(wanted))).toEqual([{ kind: 'write', ...changed.files[0] }]);
  });

  test.each<[string, Partial<Present>, Step[]]>([
    ['only the unit was written', { service: { ...fresh.service, needsReload: true } },
      [{ kind: 'run', title: 'have systemd read it', argv: reload }, enable, forget, start]],
    ['it was enabled, but not started', { service: { ...fresh.service, enabled: true } }, [forget, start]],
    ['it was stopped by hand', { service: { ...fresh.service, enabled: true } }, [forget, start]],
    ['it was disabled by hand', { service: { ...installed(wanted).service, enabled: false } }, [enable]],
    ['it keeps trying', { service: { ...installed(wanted).service, activeState: 'activating', runningArgv: undefined } },
      [{ kind: 'on-undo', argv: ['systemctl', 'restart', '--no-block', '--', 'revtun-home.service'] }, restart]],
    ['it failed', { service: { ...fresh.service, activeState: 'failed', enabled: true } }, [forget, start]],
    ['the old tunnel still runs', { service: { ...installed(wanted).service, runningArgv: tunnelArgv(exampleTunnel({ port: 1 }), '/etc/revtun/home/ssh_config') } },
      [restartOnUndo, restart]],
    ['it began before its configuration was written', { service: { ...installed(wanted).service, formerConfig: true } }, [restartOnUndo, restart]],
    ['half of a file lies about', { leftovers: ['/etc/revtun/home/.revtun-7.tmp'] }, [{ kind: 'remove', path: '/etc/revtun/home/.revtun-7.tmp' }]],
    ['the user is gone', { serviceUser: 'absent' }, [addUser]],
  ])('when %s: what is left to do', (_, difference, steps) => {
    expect(plan(wanted, { ...installed(wanted), ...difference })).toEqual(steps);
  });

  test.each([
    ['/etc/revtun/home/known_hosts', knownHosts, [knownHosts]],
    ['/etc/revtun/home/ssh_config', config, [restartOnUndo, config, restart]],
    ['/etc/systemd/system/revtun-home.service', unit, [restartOnUndo, { ...unit, settle: reload }, restart]],
  ])('when %s was tampered with or lost: it is put right', (path, file, steps) => {
    for (const tampered of [stat('file', 0o644, `${file!.content}# more\n`), stat('file', 0o666, file!.content), undefined]) {
      const files = new Map(installed(wanted).files);
      if (tampered) files.set(path, tampered);
      else files.delete(path);
      expect(plan(wanted, { ...installed(wanted), files })).toEqual(steps);
    }
  });

  test.each<[string, Partial<Present>]>([
    ['a unit of somebody else', { files: new Map([['/etc/systemd/system/revtun-home.service', stat('file', 0o644, '[Unit]\n')]]) }],
    ['a link in place of the unit', { files: new Map([['/etc/systemd/system/revtun-home.service', stat('symlink', 0o777)]]) }],
    ['a directory in place of known_hosts', { files: new Map([['/etc/revtun/home/known_hosts', stat('directory', 0o755)]]) }],
    ['an empty file', { files: new Map([['/etc/revtun/home/ssh_config', stat('file', 0o644, '')]]) }],
    ['a user of that name that is not ours', { serviceUser: 'foreign' }],
  ])('%s is left untouched', (_, difference) => {
    expect(() => plan(wanted, { ...fresh, ...difference })).toThrow(expect.objectContaining({ id: 'not-ours', exitCode: 2 }));
  });
});

describe('installing for a user', () => {
  const mine = desired({ scope: 'user' });
  const write = mine.files.map((file) => ({ kind: 'write' as const, ...file }));
  const linger: Step = {
    kind: 'run', title: 'keep it up after logout', argv: ['loginctl', 'enable-linger', 'ann'], undo: ['loginctl', 'disable-linger', 'ann'],
    orElse: 'Lingering may not be switched on from here: the tunnel ends when ann logs out. Ask root for: loginctl enable-linger ann',
  };
  const user = (step: Step) => JSON.parse(JSON.stringify(step).replaceAll('"systemctl"', '"systemctl","--user"')) as Step;

  test('on a fresh machine: in the home, with lingering and no service user', () => {
    expect(plan(mine, fresh)).toEqual([
      ...['/home/ann/.config', '/home/ann/.config/revtun', '/home/ann/.config/revtun/home', '/home/ann/.config/systemd', '/home/ann/.config/systemd/user']
        .map((path) => ({ kind: 'make-directory', path, mode: 0o755 })),
      write[0], write[1], { ...write[2], settle: ['systemctl', '--user', 'daemon-reload'], settledLater: true },
      linger, user(enable), user(start),
    ]);
  });

  test('once more: nothing', () => {
    expect(plan(mine, installed(mine))).toEqual([]);
  });

  test('a "foreign" service user is none of its business', () => {
    expect(plan(mine, { ...installed(mine), serviceUser: 'foreign' })).toEqual([]);
  });

  test('without the variable that a login sets, the manager is found all the same', () => {
    const steps = planInstall(mine, fresh, systemctl(local, 'user', { ...ann, env: {} }), 'ann');
    expect(steps.at(-1)).toMatchObject({ argv: ['env', 'XDG_RUNTIME_DIR=/run/user/1000', 'systemctl', '--user', 'start', '--', 'revtun-home.service'] });
  });
});

test('a key that a person carries to the server stays where the next run finds it', () => {
  expect(planKeepKey({ privateKey: 'P', publicKey: 'p' }, placesOf('user', 'home', '/home/ann'), { ...fresh, files: new Map([['/home/ann/.config', stat('directory', 0o755)]]) })).toEqual([
    { kind: 'make-directory', path: '/home/ann/.config/revtun', mode: 0o755 },
    { kind: 'make-directory', path: '/home/ann/.config/revtun/home', mode: 0o755 },
    { kind: 'write', path: '/home/ann/.config/revtun/home/key', content: 'P', mode: 0o600 },
    { kind: 'write', path: '/home/ann/.config/revtun/home/key.pub', content: 'p\n', mode: 0o644 },
  ]);
});

describe('uninstalling', () => {
  const uninstall = (present: Present) =>
    planUninstall({ name: 'home', scope: 'system', places: wanted.places, tunnel: wanted.tunnel, lingering: false }, present, systemd('system'));
  const stop: Step = { kind: 'run', title: 'stop', argv: ['systemctl', 'stop', '--', 'revtun-home.service'], undo: ['systemctl', 'start', '--no-block', '--', 'revtun-home.service'], outlivesSession: true };
  const disable: Step = { kind: 'run', title: 'no longer start at boot', argv: ['systemctl', 'disable', '--', 'revtun-home.service'], undo: ['systemctl', 'enable', '--', 'revtun-home.service'] };
  const removal: Step[] = [
    { kind: 'remove', path: '/etc/systemd/system/revtun-home.service', settle: reload },
    { kind: 'remove', path: '/etc/revtun/home/ssh_config' },
    { kind: 'remove', path: '/etc/revtun/home/known_hosts' },
  ];
  const folders: Step[] = [{ kind: 'remove-directory', path: '/etc/revtun/home' }, { kind: 'remove-directory', path: '/etc/revtun' }];

  test('what runs: stopped, disabled, removed, in that order', () => {
    expect(uninstall(installed(wanted))).toEqual([stop, disable, ...removal, ...folders]);
  });

  test('what failed is forgotten by systemd', () => {
    const service = { ...fresh.service, activeState: 'failed', enabled: true };
    expect(uninstall({ ...installed(wanted), service })[0]).toEqual({ kind: 'run', title: 'forget its failure', argv: ['systemctl', 'reset-failed', '--', 'revtun-home.service'] });
  });

  test('a key of ours and what a killed run left go, too', () => {
    const files = new Map([...installed(wanted).files, ['/etc/revtun/home/key', stat('file', 0o600)], ['/etc/revtun/home/key.pub', stat('file', 0o644, 'p')]]);
    expect(uninstall({ ...installed(wanted), files, leftovers: ['/etc/revtun/home/.revtun-7.tmp'] })).toEqual([
      stop, disable, ...removal,
      { kind: 'remove', path: '/etc/revtun/home/key' },
      { kind: 'remove', path: '/etc/revtun/home/key.pub' },
      { kind: 'remove', path: '/etc/revtun/home/.revtun-7.tmp' },
      ...folders,
    ]);
  });

  test('what a repair has kept goes, too', () => {
    const copies = ['/etc/revtun/home/ssh_config.former', '/etc/revtun/home/revtun-home.service.former'];
    const files = new Map([...installed(wanted).files, ...copies.map((path) => [path, stat('file', 0o644, '# Written by revtun-setup\n')] as const)]);
    expect(uninstall({ ...installed(wanted), files })).toEqual([stop, disable, ...removal, ...copies.map((path): Step => ({ kind: 'remove', path })), ...folders]);
  });

  test('files without our header stay', () => {
    const files = new Map([...installed(wanted).files].map(([path, found]) => [path, found.kind === 'file' ? { ...found, content: 'mine' } : found]));
    expect(uninstall({ ...installed(wanted), files })).toEqual([stop, disable, ...folders]);
  });

  test('where nothing is, nothing is done', () => {
    expect(uninstall(fresh)).toEqual([]);
  });

  test.each<[string, Scope, Partial<Present>, boolean, string[][]]>([
    ['the account that we made', 'system', { serviceUser: 'ours' }, false, [['userdel', 'revtun']]],
    ['not an account of somebody else', 'system', { serviceUser: 'foreign' }, false, []],
    ['not an account that is gone', 'system', { serviceUser: 'absent' }, false, []],
    ['lingering that we switched on', 'user', { lingering: true }, true, [['loginctl', 'disable-linger', 'ann']]],
    ['not lingering that was on before', 'user', { lingering: true }, false, []],
    ['not lingering that is off', 'user', { lingering: false }, true, []],
  ])('with the last tunnel goes %s', (_, scope, difference, lingering, commands) => {
    expect(planFarewell(scope, { ...fresh, ...difference }, 'ann', lingering).map((step) => (step.kind === 'run' ? step.argv : step.kind))).toEqual(commands);
  });
});
