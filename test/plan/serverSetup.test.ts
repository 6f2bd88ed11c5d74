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
      "make the user: useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment 'revtun-setup keys' revtun_keys",
      'write /etc/ssh/revtun-device',
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
    expect([back.files, back.groups, back.keysUser]).toEqual([state.files, state.groups, undefined]);
    expect(hasTraces(back)).toBe(false);
  });

  test.each<[ServerState['sshd'], readonly string[]]>([
    ['ssh.service', ['sh', 'sh', '-c', 'systemctl reload ssh.service']],
    ['sshd.service', ['sh', 'sh', '-c', 'systemctl reload sshd.service']],
    ['by-signal', ['sh', 'sh', '-c', 'kill -HUP "$(cat /var/run/my.pid)"']],
    ['per-connection', ['sshd', '-t']],
  ])('%s: looks at the configuration, and reloads', (sshd, command) => {
    const write = planServerSetup({ ...bareServer, sshd, settings: new Map([['port', ['22']], ['pidfile', ['/var/run/my.pid']]]) }).find((step) => step.kind === 'write' && step.path === SERVER.dropIn);
    expect((write as { settle: readonly string[] }).settle.slice(-command.length)).toEqual(command);
    expect(write).not.toHaveProperty('settledLater');
  });

  test('an sshd that systemd listens for is started anew, as a signal would end it', () => {
    expect(JSON.stringify(planServerSetup({ ...bareServer, activated: true }))).toMatch(/systemctl try-restart ssh\.service.*systemctl try-restart ssh\.service/);
    expect(JSON.stringify(planServerSetup(bareServer))).not.toContain('try-restart');
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
    ['a main file that cannot be read', { ...withFiles([SERVER.mainConfig, { ...file(''), content: undefined }]), includesDropIns: false }],
    ['a user for keys of somebody else', { ...bareServer, keysUser: account(SERVER.keysUser, 990, { comment: 'Keys' }) }],
    ["a directory of sshd's that others may write to", withFiles([SERVER.configuration, directory(0o775)])],
    ['an account of somebody else', { ...bareServer, accounts: new Map([['revtun-bob', account('revtun-bob', 1000, { comment: 'Bob' })]]) }],
  ])('%s is not touched', (_, state) => {
    expect(() => planServerSetup(state)).toThrow(expect.objectContaining({ id: 'not-ours' }));
  });

  const unknownMain: [string, ServerState['files'] extends ReadonlyMap<string, infer File> ? File | undefined : never][] = [
    ['a link', { ...file(''), mode: 0o777, kind: 'symlink', content: undefined }],
    ['absent', undefined],
    ['unread', { ...file(''), content: undefined }],
  ];
  test.each(unknownMain)('a main file that is %s is never written', (_, main) => {
    const files = (state: ServerState) => new Map([...state.files].flatMap(([path, node]) => (path !== SERVER.mainConfig ? [[path, node] as const] : main ? [[path, main] as const] : [])));
    const bare = { ...bareServer, files: files(bareServer) };
    const done = after(bareServer, planServerSetup(bareServer));
    const steps = [...planServerSetup(bare), ...planServerTeardown({ ...done, files: files(done) })];
    expect(steps).toContainEqual(expect.objectContaining({ kind: 'write', path: SERVER.dropIn }));
    expect(steps).toContainEqual(expect.objectContaining({ kind: 'remove', path: SERVER.dropIn }));
    expect(steps.filter((step) => 'path' in step && step.path === SERVER.mainConfig)).toEqual([]);
    expect(steps.filter((step) => step.kind === 'write' && step.path === SERVER.restore && step.content.includes(`'${SERVER.mainConfig}'`))).toEqual([]);
  });

  test('a main file whose bytes are not all text is not written anew', () => {
    const state: ServerState = { ...withFiles([SERVER.mainConfig, file('# M\uFFFDller\nUsePAM yes\n')]), includesDropIns: false };
    expect(() => planServerSetup(state)).toThrow(expect.objectContaining({ id: 'sshd-not-utf8' }));
    expect(planServerSetup({ ...state, includesDropIns: true })).not.toEqual([]);
  });

  test('sshd is reloaded only while what would put it back stands ready, but on the way back in any case', () => {
    const steps = planServerSetup({ ...noInclude, includesDropIns: false });
    const settling = steps.filter((step) => step.kind === 'write' && step.path === SERVER.mainConfig);
    expect(settling).toEqual([expect.objectContaining({ guarded: expect.arrayContaining([SERVER.armed]) })]);
  });

  test('what sshd has not read yet is in the way of a teardown as well', () => {
    const done = { ...after(bareServer, planServerSetup(bareServer)), unread: [SERVER.mainConfig] };
    expect(() => planServerTeardown(done)).toThrow(expect.objectContaining({ id: 'sshd-unread' }));
    expect(hasTraces(done)).toBe(true);
    expect(planServerTeardown({ ...bareServer, unread: [SERVER.mainConfig] })).toEqual([]);
  });

  test('a teardown takes a directory that a run which was cut off has left empty', () => {
    const state = withFiles([SERVER.sessionDirectory, directory()]);
    expect(titles(planServerTeardown({ ...state, emptyDirectories: new Set([SERVER.sessionDirectory]) }))).toEqual([`remove ${SERVER.sessionDirectory}/ if empty`]);
    expect(planServerTeardown(state)).toEqual([]);
  });

  test('a teardown leaves what is not ours', () => {
    const foreign = withFiles([SERVER.dropIn, file('PermitRootLogin no\n')], [SERVER.session, file('[Unit]\n')]);
    expect(planServerTeardown({ ...foreign, keysUser: account(SERVER.keysUser, 990, { comment: 'Keys' }) })).toEqual([]);
  });
});
