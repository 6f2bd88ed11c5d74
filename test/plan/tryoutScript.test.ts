import { chmodSync, existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from '@jest/globals';
import { LOCK_NAME } from '../../src/machine/machine.ts';
import type { Step } from '../../src/plan/step.ts';
import { withWayBack } from '../../src/plan/tryout.ts';
import { type Places, placesOf } from '../../src/unit/places.ts';
import { type TryoutPlaces, tryoutPlaces } from '../../src/unit/tryout.ts';
import { execute, type Result } from '../lab/child.ts';
import { labIsUsable } from '../lab/requirements.ts';

const TUNNEL = 'revtun-home.service';

describe.each(['dash', 'bash --posix'])('in %s the script of a change that has to be confirmed, with a systemctl that only takes notes', (shell) => {
  const folder = mkdtempSync(join(tmpdir(), 'revtun-tryout-'));
  afterAll(() => rmSync(folder, { recursive: true }));
  const [bin, notes, failing] = ['bin', 'notes', 'failing'].map((name) => join(folder, name)) as [string, string, string];
  mkdirSync(bin);
  for (const name of ['systemctl', 'systemd-run', 'sync']) {
    writeFileSync(join(bin, name), `#!/bin/sh
echo "${name} $*" >>'${notes}'
case "$*" in *is-enabled*) exit 1 ;; esac
[ ! -e '${failing}' ] || case "${name} $*" in *"$(cat '${failing}')"*) exit 1 ;; esac
`, { mode: 0o755 });
  }
  let number = 0;

  interface Trial {
    readonly places: Places;
    readonly at: TryoutPlaces;
    readonly home: string;
    readonly call: (role: string, script?: string) => Promise<Result>;
  }

  /** A tunnel whose configuration is there and whose key is not, and the script beside it. */
  function prepared(): Trial {
    number += 1;
    rmSync(failing, { force: true });
    rmSync(notes, { force: true });
    const home = join(folder, String(number));
    const places = placesOf('user', 'home', home);
    const at = tryoutPlaces('home', places);
    for (const directory of [places.unitDirectory, places.directory, at.directory]) mkdirSync(directory, { recursive: true });
    writeFileSync(places.unitFile, 'the unit');
    writeFileSync(places.sshConfig, 'old', { mode: 0o640 });
    const wanted: Step[] = [places.sshConfig, places.generatedKey].map((path) => ({ kind: 'write', path, content: 'new', mode: 0o600 }));
    for (const step of withWayBack(wanted, { name: 'home', scope: 'user' }, places, 60, false)) {
      if (step.kind === 'write' && dirname(step.path) === at.directory) writeFileSync(step.path, step.content.replace('\nPATH=', `\nPATH=${bin}:`), { mode: step.mode });
    }
    return { places, at, home, call: (role, script = at.script) => execute([...shell.split(' '), script, role], { env: { XDG_RUNTIME_DIR: home } }) };
  }

  /** The same, when the way back is laid. */
  async function armed(): Promise<Trial> {
    const trial = prepared();
    expect(await trial.call('arm', trial.at.scriptSource)).toEqual({ code: 0, stdout: '', stderr: '' });
    rmSync(notes);
    return trial;
  }

  function change({ sshConfig, generatedKey }: Places): void {
    writeFileSync(sshConfig, 'new');
    chmodSync(sshConfig, 0o600);
    writeFileSync(generatedKey, 'new');
  }

  async function changed(): Promise<Trial> {
    const trial = await armed();
    change(trial.places);
    return trial;
  }

  const OLD = ['old', 0o640, false];
  const NEW = ['new', 0o600, true];
  const contents = ({ sshConfig, generatedKey }: Places) => [readFileSync(sshConfig, 'utf8'), statSync(sshConfig).mode & 0o777, existsSync(generatedKey)];
  const isLeft = ({ directory, restorerFile }: TryoutPlaces) => existsSync(directory) || existsSync(restorerFile);
  const noted = () => (existsSync(notes) ? readFileSync(notes, 'utf8').split('\n') : []);
  const restarts = () => noted().filter((note) => note.includes(' restart ') && note.endsWith(TUNNEL));
  const RESTART = `systemctl --user --quiet restart --no-block ${TUNNEL}`;

  test('puts back what was changed, with its mode, takes away what was not there, and starts the tunnel', async () => {
    const { places, at, call } = await changed();
    expect([await call('restore'), contents(places), isLeft(at), restarts()]).toMatchObject([{ code: 0 }, OLD, false, [RESTART]]);
  });

  test('leaves what is kept', async () => {
    const { places, at, call } = await changed();
    expect([await call('keep'), contents(places), isLeft(at), restarts()]).toMatchObject([{ code: 0 }, NEW, false, []]);
  });

  test('goes on with a keep that was cut off, and not with a restore', async () => {
    const { places, at, call } = await changed();
    symlinkSync('keep', at.decision);
    expect([await call('restore'), contents(places), isLeft(at)]).toMatchObject([{ code: 0 }, NEW, false]);
  });

  test('keeps nothing, and begins no new time, once it is being put back', async () => {
    const { places, at, call } = await changed();
    symlinkSync('restore', at.decision);
    for (const role of ['keep', 'hold', 'reopen']) expect(await call(role)).toMatchObject({ code: 1, stderr: expect.stringContaining('The time was up') });
    expect([await call('restore'), contents(places)]).toMatchObject([{ code: 0 }, OLD]);
  });

  test('tries again what could not be put back; meanwhile the tunnel runs as it is', async () => {
    const { places, at, call } = await changed();
    renameSync(places.directory, `${places.directory}.away`);
    expect([(await call('restore')).code, isLeft(at), noted()]).toEqual([1, true, expect.arrayContaining([`systemctl --user --quiet start --no-block ${TUNNEL}`])]);
    renameSync(`${places.directory}.away`, places.directory);
    expect([await call('restore'), contents(places), isLeft(at), restarts()]).toMatchObject([{ code: 0 }, OLD, false, [RESTART]]);
  });

  test('is dropped without a restart where all was undone, and puts back what was not', async () => {
    const whole = await armed();
    expect([await whole.call('drop', whole.at.scriptSource), contents(whole.places), isLeft(whole.at), restarts()]).toMatchObject([{ code: 0 }, OLD, false, []]);
    const half = await armed();
    writeFileSync(half.places.generatedKey, 'new');
    expect([await half.call('drop', half.at.scriptSource), contents(half.places), isLeft(half.at), restarts()]).toMatchObject([{ code: 0 }, OLD, false, [RESTART]]);
  });

  test('counts as armed when it is sure to come back, also after a power cut', async () => {
    const { at, call } = prepared();
    expect((await call('arm', at.scriptSource)).code).toBe(0);
    expect(noted().map((note) => note.split(' ').filter((word) => /^[a-z]/.test(word)).slice(0, 2).join(' '))).toEqual(
      ['systemctl is-enabled', 'sync', 'systemctl enable', 'systemd-run', 'sync', '']);
  });

  test.each(['systemctl --user --quiet enable', 'systemd-run'])('is not armed where %s fails: nothing is put back then', async (command) => {
    const { places, at, call } = prepared();
    writeFileSync(failing, command);
    expect((await call('arm', at.scriptSource)).code).toBe(1);
    change(places);
    expect([existsSync(at.armed), await call('drop', at.scriptSource), contents(places), isLeft(at), restarts()]).toMatchObject([false, { code: 0 }, NEW, false, []]);
  });

  test.each(['restore', 'drop', 'leave'])('%s puts nothing back of a backup that is not whole', async (role) => {
    const { places, at, call } = await changed();
    rmSync(at.armed);
    expect([await call(role), contents(places), isLeft(at), noted().filter((note) => note.endsWith(TUNNEL) && !note.includes('former-'))]).toMatchObject([{ code: 0 }, NEW, false, []]);
  });

  test('a start at boot is only taken away where there was none', async () => {
    const { at, call } = await changed();
    rmSync(join(at.directory, 'disabled'));
    await call('restore');
    expect(noted().filter((note) => note.endsWith(`disable ${TUNNEL}`))).toEqual([]);
  });

  test('the former tunnel runs whatever systemctl cannot do, and is started anew only once', async () => {
    const reload = await changed();
    writeFileSync(failing, 'daemon-reload');
    expect([(await reload.call('restore')).code, isLeft(reload.at), restarts(), noted()]).toEqual([1, true, [], expect.arrayContaining([`systemctl --user --quiet start --no-block ${TUNNEL}`])]);
    rmSync(failing);
    expect([await reload.call('restore'), isLeft(reload.at), restarts()]).toMatchObject([{ code: 0 }, false, [RESTART]]);

    const boot = await changed();
    writeFileSync(failing, `disable ${TUNNEL}`);
    for (let tries = 0; tries < 2; tries += 1) expect([(await boot.call('restore')).code, isLeft(boot.at), restarts()]).toEqual([1, true, [RESTART]]);
    rmSync(failing);
    expect([await boot.call('restore'), isLeft(boot.at), restarts()]).toMatchObject([{ code: 0 }, false, [RESTART]]);
  });

  test('what is kept is kept, also where systemctl fails', async () => {
    const { places, at, call } = await changed();
    writeFileSync(failing, 'systemctl');
    expect([await call('keep'), contents(places), isLeft(at), noted().some((note) => note.startsWith('sync'))]).toMatchObject([{ code: 0 }, NEW, false, true]);
  });

  /** With the lock in the hands of a program that is at work. */
  async function atWork({ home, at }: Trial): Promise<Result> {
    return execute(['flock', join(home, LOCK_NAME), ...shell.split(' '), at.script, 'restore'], { env: { XDG_RUNTIME_DIR: home } });
  }

  test('waits while the program is at work, and no longer', async () => {
    const trial = await changed();
    rmSync(trial.at.until);
    expect([await atWork(trial), contents(trial.places), noted(), existsSync(trial.at.until)]).toMatchObject([{ code: 0 }, NEW, ['systemctl --user --quiet restart former-revtun-home.timer', ''], true]);
    expect([await trial.call('restore'), contents(trial.places), isLeft(trial.at)]).toMatchObject([{ code: 0 }, OLD, false]);
  });

  test.each<[string, (trial: Trial) => unknown]>([
    ['has made it complete', ({ call }) => call('hold')],
    ['hangs', ({ at }) => writeFileSync(join(at.directory, 'since'), '-1000\n')],
    ['began when it was put back already', ({ at }) => symlinkSync('restore', at.decision)],
  ])('does not wait for a program that %s', async (_name, prepare) => {
    const trial = await changed();
    await prepare(trial);
    expect([await atWork(trial), contents(trial.places), isLeft(trial.at)]).toMatchObject([{ code: 0 }, OLD, false]);
  });

  test('waits again for an uninstall, which may give it its time again', async () => {
    const trial = await changed();
    for (const role of ['hold', 'reopen']) expect(await trial.call(role)).toMatchObject({ code: 0 });
    expect([await atWork(trial), contents(trial.places)]).toMatchObject([{ code: 0 }, NEW]);
    expect([await trial.call('hold'), existsSync(trial.at.complete)]).toMatchObject([{ code: 0 }, true]);
  });

  (labIsUsable() ? describe : describe.skip)('on a disk that is full', () => {
    /** Runs sh text where the tunnel's files lie on a file system of their own. $S is the script, $C the configuration. */
    const onSmallDisk = ({ at, places, home }: Trial, options: string, text: string) =>
      execute(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', `cp -a "$H" "$H.aside" && mount -t tmpfs -o ${options} tmpfs "$H" && cp -a "$H.aside/." "$H" && cd / && {\n${text}\n}`], {
        env: { XDG_RUNTIME_DIR: home, H: home, S: `${shell} ${at.script}`, A: `${shell} ${at.scriptSource}`, D: at.directory, C: places.sshConfig },
      });
    const fill = 'n=0; while true 2>/dev/null >"$H/filler$n"; do n=$((n + 1)); done';

    test('a copy that was cut short is not put back', async () => {
      const trial = prepared();
      writeFileSync(trial.places.sshConfig, 'x'.repeat(300_000));
      expect((await onSmallDisk(trial, 'size=400k', '$A arm 2>/dev/null || echo refused; stat -c %s "$D/2"; $A drop; stat -c %s "$C"; ls -d "$D" 2>/dev/null')).stdout).toMatch(/^refused\n(?!300000)\d+\n300000\n$/);
      expect(noted().filter((note) => note.includes(` ${TUNNEL}`) && !note.includes('is-enabled'))).toEqual([]);
    });

    test('nothing is decided without a link, and nothing is given up', async () => {
      const trial = prepared();
      const { stdout } = await onSmallDisk(trial, 'nr_inodes=60', `$A arm; echo new >"$C"; ${fill}
        for role in keep restore; do $S $role 2>&1 || echo refused; done; cat "$C"; ls "$D/armed" >/dev/null && rm "$H"/filler*; $S restore; cat "$C"; ls -d "$D" 2>/dev/null`);
      const noRoom = `No decision could be noted in ${trial.at.directory}: there may be no room on the disk.\nrefused\n`;
      expect(stdout).toBe(`${noRoom}${noRoom}new\nold`);
    });
  });
});
