import { describe, expect, test } from '@jest/globals';
import type { Identity } from '../../src/machine/machine.ts';
import { local } from '../../src/machine/local.ts';
import { NO_NOTICE, type PresentNotice } from '../../src/plan/notice.ts';
import { type Desired, planInstall, planUninstall } from '../../src/plan/plan.ts';
import { ancestorsToMake, type Present, type PresentFile } from '../../src/plan/present.ts';
import { type Step, titleOf } from '../../src/plan/step.ts';
import { tunnelArgv } from '../../src/tunnel/ssh.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { renderFiles } from '../../src/unit/render.ts';
import { systemctl } from '../../src/unit/systemctl.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const root: Identity = { uid: 0, userName: 'root', home: '/root', env: {} };
const systemd = systemctl(local, 'system', root);
const places = placesOf('system', 'home', '/root');

const desired = (changes: Partial<Tunnel>, start = true): Desired => {
  const tunnel = exampleTunnel(changes);
  return { tunnel, places, start, selinux: false, files: renderFiles(tunnel, places, 'tunl.example.com ssh-ed25519 AAAA\n', { lingering: false, namespaces: true }) };
};
const plain = desired({});
const telling = desired({ onDown: ['/bin/a'], onUp: ['/bin/b'] });

const stat = (kind: PresentFile['kind'], mode: number, content?: string): PresentFile => ({ kind, mode, uid: 0, gid: 0, size: 0, content });

const fresh: Present = {
  files: new Map(), service: { activeState: 'inactive', enabled: false, needsReload: false, runningArgv: undefined },
  notice: NO_NOTICE, serviceUser: 'ours', lingering: false, leftovers: [],
};

/** How a machine looks after an install went through. */
const installed = ({ tunnel, files }: Desired, notice: Partial<PresentNotice> = {}): Present => ({
  ...fresh,
  files: new Map([
    ...ancestorsToMake(places).map((path) => [path, stat('directory', 0o755)] as const),
    ...files.map(({ path, content, mode }) => [path, stat('file', mode, content)] as const),
  ]),
  service: { activeState: 'active', enabled: true, needsReload: false, runningArgv: tunnelArgv(tunnel, places.sshConfig) },
  notice: { ...NO_NOTICE, ...(tunnel.onDown.length > 0 && { pathState: 'active' }), ...notice },
});

const without = (present: Present, path: string): Present => ({ ...present, files: new Map([...present.files].filter(([other]) => other !== path)) });

/** In words, and what is done on the way back beside them. */
const words = (steps: readonly Step[]) => steps.map((step) => titleOf(step) ?? (step.kind === 'on-undo' ? `on undo: ${step.argv.join(' ')}` : step.kind));
const plan = (want: Desired, present: Present) => words(planInstall(want, present, systemd, 'root'));

const [script, service, path] = ['/etc/revtun/home/notice', '/etc/systemd/system/revtun-notice@home.service', '/etc/systemd/system/revtun-notice@home.path'];
const unit = '/etc/systemd/system/revtun-home.service';
const restart = ['on undo: systemctl stop -- revtun-notice@home.path revtun-notice@home.service', 'restart: systemctl restart -- revtun-home.service'];
const stop = 'tell nobody any more: systemctl stop -- revtun-notice@home.path revtun-notice@home.service';
const removal = [`remove ${path}`, `remove ${service}`, `remove ${script}`];

describe('installing', () => {
  test('on a fresh machine: before the unit that brings them along, and one reload', () => {
    const steps = planInstall(telling, fresh, systemd, 'root');
    expect(words(steps)).toEqual([
      'make /etc/revtun/', 'make /etc/revtun/home/', 'write /etc/revtun/home/known_hosts', 'write /etc/revtun/home/ssh_config',
      `write ${script}`, `write ${service}`, `write ${path}`, `write ${unit}`,
      'start at boot: systemctl enable -- revtun-home.service',
      'on undo: systemctl stop -- revtun-notice@home.path revtun-notice@home.service',
      'on undo: rm -rf -- /run/revtun-home',
      'start: systemctl start -- revtun-home.service',
    ]);
    const settled = steps.flatMap((step) => (step.kind === 'write' && step.settle ? [[step.path, step.settledLater ?? false]] : []));
    expect(settled).toEqual([[service, true], [path, true], [unit, true]]);
  });

  test('once more: nothing', () => {
    expect(plan(telling, installed(telling))).toEqual([]);
  });

  test('beside a tunnel that has none: one reload, by the last of the units', () => {
    const steps = planInstall(telling, installed(plain), systemd, 'root');
    expect(words(steps)).toEqual(['on undo: systemctl restart -- revtun-home.service', `write ${script}`, `write ${service}`, `write ${path}`, `write ${unit}`, ...restart]);
    expect(steps.flatMap((step) => (step.kind === 'write' && step.settle && step.settledLater !== true ? [step.path] : []))).toEqual([unit]);
  });

  test('another command: the service and the record', () => {
    expect(plan(desired({ onDown: ['/bin/a'], onUp: ['/bin/c'] }), installed(telling)))
      .toEqual(['on undo: systemctl restart -- revtun-home.service', `write ${service}`, `write ${unit}`, ...restart]);
  });

  test('none any more: taken away when the unit that knows of them is gone', () => {
    expect(plan(plain, installed(telling))).toEqual([
      'on undo: systemctl restart -- revtun-home.service', `write ${unit}`, 'restart: systemctl restart -- revtun-home.service', stop, ...removal,
    ]);
  });

  test.each<[string, Present, string[]]>([
    ['the script is gone', without(installed(telling), script), [`write ${script}`]],
    ['the service is gone', without(installed(telling), service), [`write ${service}`]],
    ['the path is gone', without(installed(telling), path), [`write ${path}`, 'look out for news: systemctl restart -- revtun-notice@home.path']],
    ['the path was stopped', installed(telling, { pathState: 'inactive' }), ['look out for news: systemctl restart -- revtun-notice@home.path']],
    ['the path failed', installed(telling, { pathState: 'failed' }), ['look out for news: systemctl restart -- revtun-notice@home.path']],
    ['systemd has yet to read them', installed(telling, { needsReload: true }), ['have systemd read it: systemctl daemon-reload']],
    ['a command failed', installed(telling, { serviceState: 'failed' }), []],
  ])('when %s: the tunnel is left alone', (_, present, steps) => {
    expect(plan(telling, present)).toEqual(steps);
  });

  test('a tunnel that is stopped and stays so needs nobody to look out', () => {
    const present = installed(telling, { pathState: 'inactive' });
    expect(plan({ ...telling, start: false }, { ...present, service: { ...present.service, activeState: 'inactive', runningArgv: undefined } })).toEqual([]);
  });

  test('SELinux labels them, too', () => {
    expect(plan({ ...telling, selinux: true }, installed(plain)).find((title) => title.startsWith('label')))
      .toBe(`label for SELinux: restorecon -R /etc/revtun/home ${service} ${path} ${unit}`);
  });

  test.each([script, service, path])('%s of somebody else is left untouched', (theirs) => {
    const present = { ...fresh, files: new Map([[theirs, stat('file', 0o644, 'mine')]]) };
    expect(() => plan(telling, present)).toThrow(expect.objectContaining({ id: 'not-ours', message: expect.stringContaining(theirs) }));
    expect(plan(plain, present).join('\n')).not.toContain(theirs);
  });
});

describe('uninstalling', () => {
  const uninstall = (present: Present) => words(planUninstall({ name: 'home', scope: 'system', places, tunnel: undefined, lingering: false }, present, systemd));
  const before = ['stop: systemctl stop -- revtun-home.service', 'no longer start at boot: systemctl disable -- revtun-home.service', `remove ${unit}`];
  const after = ['remove /etc/revtun/home/ssh_config', 'remove /etc/revtun/home/known_hosts', 'remove /etc/revtun/home/ if empty', 'remove /etc/revtun/ if empty'];

  test('takes them away, when the tunnel has stopped: that is not news', () => {
    expect(uninstall(installed(telling))).toEqual([...before, stop, ...removal, ...after]);
  });

  test('ends a command that is just running', () => {
    expect(uninstall(installed(telling, { pathState: 'inactive', serviceState: 'activating' }))).toEqual([...before, stop, ...removal, ...after]);
  });

  test('forgets a failure of theirs', () => {
    expect(uninstall(installed(telling, { serviceState: 'failed' }))).toEqual([...before, stop, 'forget its failure: systemctl reset-failed -- revtun-notice@home.service', ...removal, ...after]);
  });

  test('after a run that was killed in the middle: the rest', () => {
    const present = without(without(installed(telling, { pathState: 'inactive' }), unit), path);
    expect(uninstall({ ...present, service: fresh.service })).toEqual([`remove ${service}`, `remove ${script}`, ...after]);
  });
});
