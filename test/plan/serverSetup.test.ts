import { describe, expect, test } from '@jest/globals';
import { hasTraces, planServerSetup, planServerTeardown } from '../../src/plan/serverSetup.ts';
import { type Step, titleOf } from '../../src/plan/step.ts';
import { SERVER } from '../../src/server/places.ts';
import type { ServerState } from '../../src/server/state.ts';
import { account, after, bareServer, directory, file } from './serverModel.ts';

const titles = (steps: readonly Step[]) => steps.map(titleOf);
const withFiles = (...files: [string, ReturnType<typeof file>][]): ServerState => ({ ...bareServer, files: new Map([...bareServer.files, ...files]) });
const noInclude = withFiles([SERVER.mainConfig, file('UsePAM yes', 0o600)]);
const variants: [string, ServerState][] = [
  ['with drop-ins', bareServer],
  ['without Include', { ...noInclude, includesDropIns: false }],
  ['without systemd', { ...bareServer, systemd: false, sshd: 'by-signal' }],
  ['with SELinux', { ...bareServer, selinux: { enforcing: true, semanage: true, restorecon: true } }],
];

describe('setup', () => {
  test('changes sshd last, with a timer that puts it back, and keeps it only after a new login', () => {
    expect(titles(planServerSetup(bareServer))).toEqual([
      'make the group: groupadd --system revtun-devices',
      'make the group: groupadd --system revtun-public',
      'make /usr/local/lib/revtun/',
      'write /usr/local/lib/revtun/device',
      'make /etc/ssh/revtun/',
      'make /etc/systemd/system/user@.service.d/',
      'write /etc/systemd/system/user@.service.d/revtun.conf',
      'write /run/revtun-restore.sh',
      'have it restored by itself in a minute: sh /run/revtun-restore.sh arm',
      'write /etc/ssh/sshd_config.d/00-revtun.conf',
      'log in anew',
      'keep it: sh /run/revtun-restore.sh disarm',
    ]);
  });

  test.each(variants)('%s: a second one has nothing to do', (_, state) => {
    expect(planServerSetup(after(state, planServerSetup(state)))).toEqual([]);
  });

  test.each(variants)('%s: the teardown brings back what was', (_, state) => {
    const done = after(state, planServerSetup(state));
    expect(hasTraces(done)).toBe(true);
    const back = after(done, planServerTeardown(done));
    expect([back.files, back.groups]).toEqual([state.files, state.groups]);
    expect(hasTraces(back)).toBe(false);
  });

  test.each<[ServerState['sshd'], readonly string[]]>([
    ['ssh.service', ['0016', 'sh', '-c', 'systemctl reload ssh.service']],
    ['sshd.service', ['0016', 'sh', '-c', 'systemctl reload sshd.service']],
    ['by-signal', ['0016', 'sh', '-c', 'kill -HUP "$(cat /var/run/my.pid)"']],
    ['per-connection', ['sshd', '-t']],
  ])('%s: looks at the configuration, and reloads', (sshd, command) => {
    const write = planServerSetup({ ...bareServer, sshd, settings: new Map([['port', ['22']], ['pidfile', ['/var/run/my.pid']]]) }).find((step) => step.kind === 'write' && step.path === SERVER.dropIn);
    expect((write as { settle: readonly string[] }).settle.slice(-command.length)).toEqual(command);
    expect(write).not.toHaveProperty('settledLater');
  });

  test('a name of a pid file never reaches a shell unless it is plain', () => {
    const steps = planServerSetup({ ...bareServer, sshd: 'by-signal', settings: new Map([['pidfile', ['/run/$(reboot)']]]) });
    expect(JSON.stringify(steps)).not.toContain('reboot');
  });

  test('the block goes to the main file with the mode that it has, and moves to a drop-in once there is an Include', () => {
    const inline = after({ ...noInclude, includesDropIns: false }, planServerSetup({ ...noInclude, includesDropIns: false }));
    expect(inline.files.get(SERVER.mainConfig)).toMatchObject({ mode: 0o600, content: expect.stringMatching(/^UsePAM yes\n# BEGIN revtun-setup/) });
    expect(inline.files.has(SERVER.dropIn)).toBe(false);
    const included: ServerState = { ...inline, includesDropIns: true };
    const steps = planServerSetup(included);
    expect(steps.filter((step) => 'settle' in step && !('settledLater' in step))).toHaveLength(1);
    const moved = after(included, steps).files;
    expect([moved.get(SERVER.mainConfig)?.content, moved.has(SERVER.dropIn)]).toEqual(['UsePAM yes', true]);
  });

  test.each<[string, ServerState]>([
    ['a script of somebody else', withFiles([SERVER.script, file('#!/bin/sh\n', 0o755)])],
    ['a drop-in of somebody else', withFiles([SERVER.dropIn, file('PermitRootLogin no\n')])],
    ['a drop-in of somebody else for sessions', withFiles([SERVER.session, file('[Unit]\n')])],
    ['a directory of keys that others may write to', withFiles([SERVER.keys, directory(0o777)])],
    ["a directory of keys that is not root's", withFiles([SERVER.keys, directory(0o755, 1000)])],
    ['a main file that is a link', { ...bareServer, includesDropIns: false, files: new Map([[SERVER.mainConfig, { ...file(''), kind: 'symlink', content: undefined }]]) }],
    ['an account of somebody else', { ...bareServer, accounts: new Map([['revtun-bob', account('revtun-bob', 1000, { comment: 'Bob' })]]) }],
  ])('%s is not touched', (_, state) => {
    expect(() => planServerSetup(state)).toThrow(expect.objectContaining({ id: 'not-ours' }));
  });

  test('a teardown leaves what is not ours', () => {
    const foreign = withFiles([SERVER.dropIn, file('PermitRootLogin no\n')], [SERVER.session, file('[Unit]\n')]);
    expect(planServerTeardown(foreign)).toEqual([]);
  });
});
