import { describe, expect, test } from '@jest/globals';
import { cutsOff, forgetting, holdStep, keepStep, withWayBack } from '../../src/plan/tryout.ts';
import type { Step } from '../../src/plan/step.ts';
import type { Scope } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { execute } from '../lab/child.ts';

const SYSTEM = placesOf('system', 'home', '/root');
const restart: Step = { kind: 'run', title: 'restart', argv: ['systemctl', 'restart', '--', SYSTEM.unit] };
const plan: readonly Step[] = [
  { kind: 'remove', path: '/etc/revtun/home/.revtun-123.tmp' },
  { kind: 'write', path: SYSTEM.knownHosts, content: 'both keys', mode: 0o644 },
  { kind: 'write', path: SYSTEM.unitFile, content: 'new', mode: 0o644 },
  restart,
  { kind: 'write', path: SYSTEM.knownHosts, content: 'one key', mode: 0o644 },
];

test.each<[string, readonly Step[], boolean]>([
  ['a restart', plan, true],
  ['a stop', [{ kind: 'run', title: 'stop', argv: ['env', 'XDG_RUNTIME_DIR=/run/user/1', 'systemctl', '--user', 'stop', '--', SYSTEM.unit] }], true],
  ['a change that is not started', plan.filter((step) => step !== restart), false],
  ['enabling it', [{ kind: 'run', title: 'start at boot', argv: ['systemctl', 'enable', '--', SYSTEM.unit] }], false],
  ["another unit's restart", [{ kind: 'run', title: 'restart', argv: ['systemctl', 'restart', '--', 'other.service'] }], false],
])('sessions are cut off by %s: %j', (_name, steps, expected) => {
  expect(cutsOff(steps, SYSTEM)).toBe(expected);
});

describe('the way back', () => {
  test('is laid before the first step, and changes none of them', () => {
    const steps = withWayBack(plan, { name: 'home', scope: 'system' }, SYSTEM, 60, false);
    expect(steps.slice(4)).toEqual(plan);
    expect(steps.slice(0, 4)).toMatchObject([
      { kind: 'make-directory', path: '/etc/revtun/.former-home', mode: 0o755 },
      { kind: 'write', path: '/etc/revtun/.former-home/restore.sh' },
      { kind: 'write', path: '/etc/revtun/.former-home/unit' },
      { kind: 'run', argv: ['sh', '/etc/revtun/.former-home/restore.sh', 'arm'] },
    ]);
  });

  test('names each file once that the plan touches, the unit first, and none that a killed run has left', () => {
    const [, script] = withWayBack(plan, { name: 'home', scope: 'system' }, SYSTEM, 60, false);
    expect(script).toMatchObject({ content: expect.stringContaining(`\nset -- ${SYSTEM.unitFile} ${SYSTEM.knownHosts}\n`) });
  });

  test('clears away what an earlier one has left', () => {
    const argv = expect.arrayContaining(['/etc/revtun/.former-home/restore.sh', '/etc/revtun/.former-home', '/etc/systemd/system/former-revtun-home.service']);
    expect(withWayBack(plan, { name: 'home', scope: 'system' }, SYSTEM, 60, true)[0]).toMatchObject({ argv });
    expect(forgetting([restart], 'home', SYSTEM, 'left-over')).toMatchObject([{ argv }, restart]);
  });

  test.each([holdStep('home', SYSTEM, 60), keepStep('home', SYSTEM)])('that is gone is said: %j', async (step) => {
    expect(await execute(step.kind === 'run' ? step.argv : [])).toMatchObject({ code: 1, stderr: 'The time was up: everything is as it was.\n' });
  });

  test.each<[Scope, string]>([['system', '/root'], ['user', "/home/o'neil;x"]])('of the %s scope is a script that shellcheck has nothing to say against, and a unit that quotes', async (scope, home) => {
    const places = placesOf(scope, 'home', home);
    const [, script, unit] = withWayBack([{ kind: 'write', path: places.unitFile, content: '', mode: 0o644 }], { name: 'home', scope }, places, 60, false);
    if (script?.kind !== 'write' || unit?.kind !== 'write') throw new Error('no script, or no unit');
    expect(await execute(['shellcheck', '-s', 'sh', '-'], { input: script.content })).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(script.content.includes('systemctl --user')).toBe(scope === 'user');
    expect(unit.content).toContain(`\nExecStart=/bin/sh "${places.ours}/.former-home/restore" restore\n`);
  });
});

describe('an uninstall meanwhile', () => {
  const removal: readonly Step[] = [restart, { kind: 'remove', path: SYSTEM.unitFile }, { kind: 'remove-directory', path: SYSTEM.directory }];
  const until = new Date();

  test('keeps what is not confirmed only when all is gone, and gives it its time again where it fails', () => {
    const [reopen, ...steps] = forgetting(removal, 'home', SYSTEM, { until, complete: true });
    const hold = holdStep('home', SYSTEM, 60);
    expect(reopen).toMatchObject({ argv: expect.arrayContaining(['reopen']), undo: hold.kind === 'run' && hold.argv });
    expect(steps).toEqual([removal[0], removal[1], keepStep('home', SYSTEM), removal[2]]);
  });

  test('does not make what was cut off one that can be confirmed', () => {
    expect(forgetting(removal, 'home', SYSTEM, { until, complete: false })).toEqual([removal[0], removal[1], keepStep('home', SYSTEM), removal[2]]);
    expect(forgetting(removal, 'home', SYSTEM, undefined)).toEqual(removal);
  });
});
