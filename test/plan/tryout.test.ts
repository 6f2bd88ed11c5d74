import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { cutsOff, forgetSteps, holdStep, keepStep, withWayBack } from '../../src/plan/tryout.ts';
import type { Step } from '../../src/plan/step.ts';
import type { Scope } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { tryoutPlaces } from '../../src/unit/tryout.ts';
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

  test('names each file once that the plan touches, and none that a killed run has left', () => {
    const [, script] = withWayBack(plan, { name: 'home', scope: 'system' }, SYSTEM, 60, false);
    expect(script).toMatchObject({ content: expect.stringContaining(`\nset -- ${SYSTEM.knownHosts} ${SYSTEM.unitFile}\n`) });
  });

  test('clears away what an earlier one has left', () => {
    expect(withWayBack(plan, { name: 'home', scope: 'system' }, SYSTEM, 60, true)[0]).toMatchObject({ argv: ['rm', '-rf', '--', '/etc/revtun/.former-home'] });
    expect(forgetSteps('home', SYSTEM, true)).toMatchObject([{ argv: ['rm', '-rf', '--', '/etc/revtun/.former-home'] }]);
    expect(forgetSteps('home', SYSTEM, false)).toEqual([keepStep('home', SYSTEM)]);
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

describe('its script, with a systemctl that only takes notes', () => {
  const folder = mkdtempSync(join(tmpdir(), 'revtun-tryout-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const bin = join(folder, 'bin');
  const notes = join(folder, 'notes');
  mkdirSync(bin);
  for (const name of ['systemctl', 'systemd-run']) {
    writeFileSync(join(bin, name), `#!/bin/sh\necho "${name} $*" >>'${notes}'\ncase "$*" in *is-enabled*) exit 1 ;; esac\n`, { mode: 0o755 });
  }
  let number = 0;

  /** A tunnel whose configuration is there and whose key is not, after a change was prepared. */
  async function armed() {
    number += 1;
    const places = placesOf('user', 'home', join(folder, String(number)));
    const at = tryoutPlaces('home', places);
    for (const directory of [places.unitDirectory, places.directory, at.directory]) mkdirSync(directory, { recursive: true });
    writeFileSync(places.sshConfig, 'old', { mode: 0o640 });
    const wanted: Step[] = [places.sshConfig, places.generatedKey].map((path) => ({ kind: 'write', path, content: 'new', mode: 0o600 }));
    for (const step of withWayBack(wanted, { name: 'home', scope: 'user' }, places, 60, false)) {
      if (step.kind === 'write' && dirname(step.path) === at.directory) writeFileSync(step.path, step.content.replace('\nPATH=', `\nPATH=${bin}:`), { mode: step.mode });
    }
    const call = (role: string, script = at.script) => execute(['sh', script, role]);
    expect(await call('arm', at.scriptSource)).toEqual({ code: 0, stdout: '', stderr: '' });
    rmSync(notes);
    return { places, at, call };
  }
  const change = ({ sshConfig, generatedKey }: typeof SYSTEM) => {
    writeFileSync(sshConfig, 'new');
    chmodSync(sshConfig, 0o600);
    writeFileSync(generatedKey, 'new');
  };
  const contents = ({ sshConfig, generatedKey }: typeof SYSTEM) => [readFileSync(sshConfig, 'utf8'), statSync(sshConfig).mode & 0o777, existsSync(generatedKey)];
  const isLeft = ({ directory, restorerFile }: ReturnType<typeof tryoutPlaces>) => existsSync(directory) || existsSync(restorerFile);
  const restarts = () => readFileSync(notes, 'utf8').split('\n').filter((note) => note.includes(' restart '));

  test('puts back what was changed, with its mode, takes away what was not there, and starts the tunnel', async () => {
    const { places, at, call } = await armed();
    change(places);
    expect([await call('restore'), contents(places), isLeft(at), restarts()]).toMatchObject([{ code: 0 }, ['old', 0o640, false], false, ['systemctl --user --quiet restart --no-block revtun-home.service']]);
  });

  test('leaves what is kept', async () => {
    const { places, at, call } = await armed();
    change(places);
    expect([await call('keep'), contents(places), isLeft(at), restarts()]).toMatchObject([{ code: 0 }, ['new', 0o600, true], false, []]);
  });

  test('goes on with a keep that was cut off, and not with a restore', async () => {
    const { places, at, call } = await armed();
    change(places);
    symlinkSync('keep', at.decision);
    expect([await call('restore'), contents(places), isLeft(at)]).toMatchObject([{ code: 0 }, ['new', 0o600, true], false]);
  });

  test('keeps nothing, and begins no new time, once it is being put back', async () => {
    const { places, at, call } = await armed();
    change(places);
    symlinkSync('restore', at.decision);
    for (const role of ['keep', 'hold']) expect(await call(role)).toMatchObject({ code: 1, stderr: expect.stringContaining('The time was up') });
    expect([await call('restore'), contents(places)]).toMatchObject([{ code: 0 }, ['old', 0o640, false]]);
  });

  test('tries again what could not be put back', async () => {
    const { places, at, call } = await armed();
    change(places);
    renameSync(places.directory, `${places.directory}.away`);
    expect([(await call('restore')).code, isLeft(at)]).toEqual([1, true]);
    renameSync(`${places.directory}.away`, places.directory);
    expect([await call('restore'), contents(places), isLeft(at)]).toMatchObject([{ code: 0 }, ['old', 0o640, false], false]);
  });

  test('is dropped without a restart where all was undone, and puts back what was not', async () => {
    const whole = await armed();
    expect([await whole.call('drop', whole.at.scriptSource), contents(whole.places), isLeft(whole.at), restarts()]).toMatchObject([{ code: 0 }, ['old', 0o640, false], false, []]);
    const half = await armed();
    writeFileSync(half.places.generatedKey, 'new');
    expect([await half.call('drop', half.at.scriptSource), contents(half.places), isLeft(half.at), restarts().length]).toMatchObject([{ code: 0 }, ['old', 0o640, false], false, 1]);
  });
});
