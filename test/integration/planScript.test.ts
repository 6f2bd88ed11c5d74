import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { local } from '../../src/machine/local.ts';
import { runSteps } from '../../src/plan/run.ts';
import { type About, toScript } from '../../src/plan/script.ts';
import type { Step } from '../../src/plan/step.ts';
import { execute, spawnRunning, type Result } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { openSandbox, type Sandbox } from '../lab/sandbox.ts';
import { openTerminal } from '../lab/terminal.ts';
import { waitFor } from '../lab/waitFor.ts';
import { shells } from '../plan/shells.ts';

/** Scripts of plans, run by real shells as root, in mount and pid namespaces with a /run of their own. */
let sandbox: Sandbox;
/** The same folder inside and outside. */
let folder: string;
beforeAll(async () => {
  sandbox = await openSandbox({ network: 'shared' });
});
afterAll(() => sandbox?.dispose());

const at = (path: string) => join(folder, path);
const OURS = '# Written by revtun-setup 0.0.0\n';

beforeEach(() => {
  folder = freshFolder();
  mkdirSync(at('old.d'), { mode: 0o750 });
  writeFileSync(at('old'), `${OURS}old`, { mode: 0o640 });
  writeFileSync(at('changed'), `${OURS}before`, { mode: 0o600 });
  writeFileSync(at('log'), '');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

/** What lies in the folder, with modes and contents, but for the log. */
function tree(path = folder): Record<string, string> {
  return Object.fromEntries(readdirSync(path, { withFileTypes: true }).flatMap((entry) => {
    const child = join(path, entry.name);
    const mode = (lstatSync(child).mode & 0o7777).toString(8);
    if (entry.isDirectory()) return [[child, mode], ...Object.entries(tree(child))];
    return entry.name === 'log' ? [] : [[child, `${mode} ${readFileSync(child, 'utf8')}`]];
  }));
}
const log = () => readFileSync(at('log'), 'utf8').trim().split('\n');

/** A command that leaves a word in the log. */
const note = (word: string) => ['sh', '-c', 'echo "$1" >>"$2"', 'sh', word, at('log')];
/** A command that is done when there is a file, and its way back. */
const on = (name: string) => ({ argv: ['sh', '-c', 'echo "on $1" >>"$3" && echo >"$2"', 'sh', name, at(name), at('log')], undo: ['sh', '-c', 'echo "off $1" >>"$3" && rm "$2"', 'sh', name, at(name), at('log')], unless: ['test', '-e', at(name)] });

/** One step of each kind, and what they say to the log. */
const plan = (): Step[] => [
  { kind: 'run', title: 'switch a', ...on('a') },
  { kind: 'make-directory', path: at('new.d'), mode: 0o2711 },
  { kind: 'write', path: at('new.d/file'), content: `${OURS}it's "new" $HOME \`id\` \\ é\n\n`, mode: 0o640 },
  { kind: 'on-undo', argv: note('all is as it was') },
  { kind: 'write', path: at('changed'), content: `${OURS}after`, mode: 0o644, settle: note('settle') },
  { kind: 'remove', path: at('old'), settle: note('settle the removal') },
  { kind: 'remove-directory', path: at('old.d') },
  { kind: 'run', title: 'try', argv: ['false'], undo: note('never'), orElse: 'It could not be tried.' },
  { kind: 'run', title: 'switch b', ...on('b') },
];
const about: About = { title: 'test' };

const run = (shell: readonly string[], steps: readonly Step[], more: About = about): Promise<Result> => sandbox.run([...shell, '-s'], { input: toScript(steps, more) });
const leftovers = () => readdirSync(sandbox.path('/run')).filter((name) => name.startsWith('revtun-'));

describe.each(shells())('by %s', (_, shell) => {
  test('a script does what a run does, says the same words, and a second one changes nothing', async () => {
    const script = toScript(plan(), { ...about, closing: [['echo', 'told']] });
    const { code, stdout, stderr } = await sandbox.run([...shell, '-s'], { input: script });
    expect([code, stdout]).toEqual([0, 'told\n']);
    const [treeOfScript, logOfScript] = [tree(), log()];
    expect(stderr).toContain('\nIt could not be tried.\n');
    expect(stderr).toMatch(/\nDone\.\n$/);
    // Every command is told before what it did.
    expect(stderr).toContain(`\n[#] sh -c 'echo "$1" >>"$2"' sh settle ${at('log')}\n`);
    expect(leftovers()).toEqual([]);

    const inodes = () => readdirSync(folder).map((name) => lstatSync(at(name)).ino);
    const before = inodes();
    const again = await run(shell, plan().filter((step) => !('orElse' in step)));
    expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/^(unchanged: .*\n)+Nothing had to change\.\n$/)]);
    expect([tree(), log(), inodes()]).toEqual([treeOfScript, logOfScript, before]);

    // The same from the beginning, by the runner.
    for (const name of readdirSync(folder)) rmSync(at(name), { recursive: true });
    mkdirSync(at('old.d'), { mode: 0o750 });
    writeFileSync(at('old'), `${OURS}old`, { mode: 0o640 });
    writeFileSync(at('changed'), `${OURS}before`, { mode: 0o600 });
    const titles: string[] = [];
    await runSteps(local, plan(), { onDone: (title) => void titles.push(title), onNotice: () => undefined });
    expect([tree(), log()]).toEqual([treeOfScript, logOfScript]);
    for (const title of titles) expect(stderr.split('\n')).toContain(title);
  });

  test('a step that fails is undone with all before it, as a run does it', async () => {
    const before = tree();
    for (let failing = 0; failing <= plan().length; failing += 1) {
      const steps = plan().toSpliced(failing, 0, { kind: 'run', title: 'fail', argv: ['sh', '-c', 'exit 7'], undo: note('undo of what failed') });
      writeFileSync(at('log'), '');
      const { code, stdout, stderr } = await run(shell, steps);
      expect([code, stdout, stderr]).toEqual([1, '', expect.stringMatching(/\nfailed: fail: sh -c 'exit 7'\nUndoing what was done:\n[^]*\nNothing is changed\.\n$/)]);
      expect([failing, tree()]).toEqual([failing, before]);
      expect(leftovers()).toEqual([]);
      const logOfScript = log();
      writeFileSync(at('log'), '');
      await expect(runSteps(local, steps, { onDone: () => undefined, onNotice: () => undefined })).rejects.toThrow();
      expect([failing, logOfScript]).toEqual([failing, log()]);
      expect([failing, tree()]).toEqual([failing, before]);
    }
  });

  test.each([['HUP', 129], ['INT', 130], ['PIPE', 141], ['TERM', 143]])('%s undoes it as well', async (signal, expected) => {
    const before = tree();
    const { code, stderr } = await run(shell, [...plan(), { kind: 'run', title: 'hit', argv: ['sh', '-c', 'kill -"$1" "$PPID"', 'sh', signal] }, { kind: 'run', title: 'not reached', argv: note('not reached') }]);
    expect([code, stderr]).toEqual([expected, expect.stringMatching(/\nNothing is changed\.\n$/)]);
    expect(tree()).toEqual(before);
    expect(log()).not.toContain('not reached');
    expect(log().at(-1)).toBe('off a');
  });

  test('what cannot be undone is named, and the rest is undone all the same', async () => {
    const { code, stderr } = await run(shell, [
      { kind: 'run', title: 'switch a', ...on('a') },
      { kind: 'run', title: 'stubborn', argv: ['true'], undo: ['sh', '-c', 'exit 3'] },
      { kind: 'run', title: 'fail', argv: ['false'] },
    ]);
    expect([code, stderr]).toEqual([1, expect.stringContaining("could not be undone: sh -c 'exit 3'")]);
    expect(stderr).toMatch(/\nSome of it could not be undone: see above\.\n$/);
    expect(log()).toEqual(['on a', 'off a']);
  });

  test('half a script does nothing at all', async () => {
    const [before, script] = [tree(), toScript(plan(), about)];
    for (const share of [0.3, 0.6, 0.8, 0.95, 0.999]) await sandbox.run([...shell, '-s'], { input: script.slice(0, Math.floor(script.length * share)) });
    expect([tree(), readFileSync(at('log'), 'utf8')]).toEqual([before, '']);
  });

  test('what is not as assumed, and files that are not ours, are told all at once before anything is changed', async () => {
    writeFileSync(at('changed'), 'of somebody else');
    rmSync(at('old'));
    symlinkSync('/etc/hostname', at('old'));
    const before = tree();
    const requires = [{ argv: ['true'], otherwise: 'never told' }, { argv: ['test', '-e', '/nowhere'], otherwise: "It isn't here." }];
    const { code, stderr } = await run(shell, plan(), { ...about, requires });
    const foreign = (path: string) => `${at(path)} is there already and was not written by revtun-setup; it is left untouched. Move it away.\n`;
    expect([code, stderr]).toEqual([1, `It isn't here.\n${foreign('changed')}${foreign('old')}Nothing is changed.\n`]);
    expect([tree(), readFileSync(at('log'), 'utf8')]).toEqual([before, '']);
  });

  test('only one of them runs at a time, and nobody but root gets so far', async () => {
    const lock = at('lock');
    const holder = spawnRunning(['flock', lock, 'sh', '-c', 'echo held; exec cat']);
    await new Promise((resolve) => holder.child.stdout?.once('data', resolve));
    const { code, stderr } = await run(shell, plan(), { ...about, lock });
    expect([code, stderr]).toEqual([1, `failed: another revtun-setup is at work here (${lock} is locked)\nNothing is changed.\n`]);
    holder.child.stdin?.end();
    await holder.exited;
    // What goes on after the script does not hold the lock.
    const background: Step = { kind: 'run', title: 'leave a daemon', argv: ['sh', '-c', 'sleep 30 & echo "$!" >"$1"', 'sh', at('pid')] };
    expect((await run(shell, [background], { ...about, lock })).code).toBe(0);
    expect((await sandbox.run(['flock', '-n', lock, 'true'])).code).toBe(0);
    await sandbox.succeed(['kill', readFileSync(at('pid'), 'utf8').trim()]);

    const nobody = await sandbox.run(['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', ...shell, '-s'], { input: toScript(plan(), about) });
    expect([nobody.code, nobody.stderr]).toEqual([1, 'This needs root: sudo sh THIS_FILE\n']);
  });

  describe('a guarded change', () => {
    /** Stands where the server's restore script does: what it restores comes back when the time is up. */
    const GUARD = `${OURS}case $1 in
arm) cp "$2/conf" "$2/conf.kept"; (sleep "$(cat "$2/time")"; [ ! -e "$0" ] || sh "$0" restore "$2") >/dev/null 2>&1 & ;;
restore) cp "$2/conf.kept" "$2/conf"; rm "$2/conf.kept" "$0" ;;
disarm) rm "$2/conf.kept" "$0" ;;
esac
`;
    const guard = () => at('guard');
    const guarded = (): Step[] => [
      { kind: 'run', title: 'switch a', ...on('a') },
      { kind: 'write', path: guard(), content: GUARD, mode: 0o700 },
      { kind: 'run', title: 'arm', argv: ['sh', guard(), 'arm', folder], undo: ['sh', '-c', 'test ! -e "$1" || exec sh "$1" restore "$2"', 'sh', guard(), folder] },
      { kind: 'write', path: at('conf'), content: `${OURS}new`, mode: 0o644, settle: note('reload') },
      { kind: 'new-login' },
      { kind: 'run', title: 'keep it', argv: ['sh', guard(), 'disarm', folder] },
      { kind: 'run', title: 'switch b', ...on('b') },
    ];
    const within = (seconds: number) => {
      writeFileSync(at('conf'), `${OURS}old`);
      chmodSync(at('conf'), 0o644);
      writeFileSync(at('time'), String(seconds));
      return toScript(guarded(), { ...about, confirmWithin: seconds });
    };
    const conf = () => readFileSync(at('conf'), 'utf8').slice(OURS.length);
    // A session of its own has no terminal, as one that sshd starts for a command.
    const apart = (argv: readonly string[]) => ['setsid', '--wait', '--', ...argv];

    test('without a terminal it waits for the word of another login', async () => {
      const script = within(20);
      const running = execute(sandbox.enter(apart([...shell, '-s'])), { input: script });
      await waitFor(() => existsSync(guard()) && conf() === 'new', { what: 'the new state' });
      expect(existsSync(at('b'))).toBe(false);
      await sandbox.succeed(['sh', guard(), 'disarm', folder]);
      const { code, stderr } = await running;
      expect([code, stderr]).toEqual([0, expect.stringMatching(/\nThe old state comes back in (20|19) s, unless root runs this in a second login to this machine:\n {2}sh \S+guard disarm \S+\n/)]);
      expect([conf(), existsSync(at('b')), existsSync(guard()), leftovers()]).toEqual(['new', true, false, []]);

      const again = await sandbox.run(apart([...shell, '-s']), { input: script });
      expect([again.code, again.stderr]).toEqual([0, expect.stringMatching(/^(unchanged: .*\n){3}Nothing had to change\.\n$/)]);
      expect(log()).toEqual(['on a', 'reload', 'on b']);
      });

    test('without that word all is as it was', async () => {
      const script = within(2);
      const before = tree();
      const { code, stderr } = await sandbox.run(apart([...shell, '-s']), { input: script });
      expect([code, stderr]).toEqual([1, expect.stringContaining('failed: the old state is back already, as nothing was confirmed in time')]);
      expect([tree(), leftovers()]).toEqual([before, []]);
      });

    test('a guard of an earlier run is left to its work', async () => {
      const script = within(20);
      writeFileSync(guard(), GUARD);
      const before = tree();
      const { code, stderr } = await sandbox.run(apart([...shell, '-s']), { input: script });
      expect([code, stderr]).toEqual([1, expect.stringContaining('an earlier change was not confirmed')]);
      expect(tree()).toEqual(before);
      });

    test.each<[string, string]>([
      ['y', 'new'], ['n', 'old'], ['', 'old'],
    ])('on a terminal it asks, and goes by the answer: "%s"', async (answer, expected) => {
      const path = at('script.sh');
      writeFileSync(path, within(20));
      const before = tree();
      // The script itself comes from a pipe, as from curl or cat.
      const terminal = await openTerminal({ argv: sandbox.enter(['sh', '-c', 'cat "$1" | { shift; "$@"; }', 'sh', path, ...shell, '-s']) });
      try {
        await terminal.waitForText('Does the second login work? [y/N]');
        expect(conf()).toBe('new');
        if (answer !== '') await terminal.type(answer);
        await terminal.press('Enter');
        expect(await terminal.exited()).toEqual({ code: expected === 'new' ? 0 : 1 });
        expect([conf(), existsSync(guard())]).toEqual([expected, false]);
        if (expected === 'old') expect(tree()).toEqual(before);
        else expect(existsSync(at('b'))).toBe(true);
      } finally {
        await terminal.close();
      }
      });

    test('on a terminal, Ctrl-C at the question and an answer that comes too late both mean no', async () => {
      for (const late of [false, true]) {
        const path = at('script.sh');
        writeFileSync(path, within(late ? 2 : 20));
        const before = tree();
        const terminal = await openTerminal({ argv: sandbox.enter([...shell, path]) });
        try {
          await terminal.waitForText('Does the second login work? [y/N]');
          if (late) {
            await waitFor(() => conf() === 'old', { what: 'the old state' });
            await terminal.type('y');
            await terminal.press('Enter');
          } else {
            await terminal.press('C-c');
          }
          expect(await terminal.exited()).toEqual({ code: late ? 1 : 130 });
          // Ctrl-C also ends the program that let it in, and at once.
          await waitFor(() => leftovers().length === 0, { what: 'the undoing' });
          expect(tree()).toEqual(before);
        } finally {
          await terminal.close();
        }
      }
      });
  });
});
