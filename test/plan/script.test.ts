import { afterAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { toScript } from '../../src/plan/script.ts';
import type { Step } from '../../src/plan/step.ts';
import { commandLine } from '../../src/shell.ts';
import { execute } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { shells } from './shells.ts';

const folder = freshFolder();
afterAll(() => rmSync(folder, { recursive: true }));

// The script asks for root; in a user namespace of its own anybody is.
const asRoot = (argv: readonly string[]) => (process.getuid?.() === 0 ? [...argv] : ['unshare', '--map-root-user', '--', ...argv]);

const guarded: Step[] = [
  { kind: 'run', title: 'make the group', argv: ['groupadd', '--system', 'devices'], undo: ['groupdel', 'devices'], unless: ['getent', 'group', 'devices'] },
  { kind: 'make-directory', path: '/etc/devices', mode: 0o755 },
  { kind: 'write', path: '/run/restore.sh', content: '# Written by revtun-setup\n', mode: 0o700 },
  { kind: 'run', title: 'arm', argv: ['sh', '/run/restore.sh', 'arm'], undo: ['sh', '/run/restore.sh', 'restore'] },
  { kind: 'write', path: '/etc/ssh/our.conf', content: '# Written by revtun-setup\nEND\nlast', mode: 0o644, settle: ['sh', '-c', 'sshd -t && systemctl reload ssh'], settledLater: true },
  { kind: 'new-login' },
  { kind: 'run', title: 'keep it', argv: ['sh', '/run/restore.sh', 'disarm'] },
  { kind: 'on-undo', argv: ['systemctl', 'restart', "it's"] },
  { kind: 'remove', path: '/etc/old', settle: ['reload'] },
  { kind: 'remove-directory', path: '/etc/old.d' },
  { kind: 'run', title: 'label', argv: ['restorecon', '-R', '/etc/devices'], undo: ['unlabel'], orElse: "It isn't labelled." },
];

const about = {
  title: 'takes\ndevices',
  requires: [{ argv: ['test', '-d', '/run/systemd/system'], otherwise: 'systemd does not run here.' }],
  lock: '/run/our.lock',
  confirmWithin: 60,
  closing: [['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']],
};

test('a plan as a script: one paragraph a step, below the files and what is looked at first', () => {
  const script = toScript(guarded, about);
  expect(script.slice(0, script.indexOf('\n#\n'))).toMatch(/^#!\/bin\/sh\n# Written by revtun-setup \d+\.\d+\.\d+: takes devices$/);
  expect(script.slice(script.indexOf('only_one() {'))).toBe(String.raw`only_one() {
  command -v flock >/dev/null || return 0
  exec 9>/run/our.lock || exit 1
  flock -n 9 || fail 'another revtun-setup is at work here (/run/our.lock is locked)'
}

lay_files_aside() {
file 3 700 /run/restore.sh <<'END'
# Written by revtun-setup
END

file 5 644 /etc/ssh/our.conf unterminated <<'A_END'
# Written by revtun-setup
END
last
A_END
}

look_first() {
  require 'systemd does not run here.' test -d /run/systemd/system
  not_foreign 3
  not_foreign 5
  path_9=/etc/old mode_9=; not_foreign 9
  in_force || guarded=yes
  [ "$guarded" = no ] || [ ! -e /run/restore.sh ] || problem '/run/restore.sh is there: an earlier change was not confirmed. It is put back within 60 s; to keep it: sh /run/restore.sh disarm'
}

# Whether all that is guarded is as this script makes it.
in_force() {
  ! differs 5 || return 1
}

carry_out() {
step 'make the group: groupadd --system devices'
undo_1() { run groupdel devices; }
if already getent group devices; then
  unchanged
else
  begin
  back undo_1
  run groupadd --system devices
fi

step 'make /etc/devices/'
make_directory 2 755 /etc/devices

if [ "$guarded" = yes ]; then
  step 'write /run/restore.sh'
  write_file 3
fi

if [ "$guarded" = yes ]; then
  step 'arm: sh /run/restore.sh arm'
  undo_4() { run sh /run/restore.sh restore; }
  begin
  armed_at=$(date +%s)
  back undo_4
  run sh /run/restore.sh arm
fi

step 'write /etc/ssh/our.conf'
settle_5() { run sh -c 'sshd -t && systemctl reload ssh'; }
write_file 5

if [ "$guarded" = yes ]; then
  step 'log in anew'
  new_login 60 /run/restore.sh 'sh /run/restore.sh disarm'
fi

if [ "$guarded" = yes ] && [ -e /run/restore.sh ]; then
  step 'keep it: sh /run/restore.sh disarm'
  begin
  run sh /run/restore.sh disarm
  in_force || fail 'the old state came back before it was confirmed'
fi

undo_8() { run systemctl restart 'it'\''s'; }
back undo_8

step 'remove /etc/old'
settle_9() { run reload; }
remove_file 9

step 'remove /etc/old.d/ if empty'
remove_directory 10 /etc/old.d

step 'label: restorecon -R /etc/devices'
undo_11() { run unlabel; }
begin
if try restorecon -R /etc/devices; then
  back undo_11
else
  say 'It isn'\''t labelled.'
fi
}

tell() {
  ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub
}

# Nothing runs before all of the script is here.
main
`);
});

test('what can be changed without a write makes the guard necessary as well', () => {
  const [tool, arm, login, disarm] = [guarded[2]!, guarded[3]!, guarded[5]!, guarded[6]!];
  const looks = (between: readonly Step[]) => /look_first\(\) \{\n([^]*?)\n\}[^]*in_force\(\) \{\n([^]*?)\n\}/.exec(toScript([tool, arm, ...between, login, disarm], about))!.slice(1);
  const due = expect.stringContaining('\n  in_force || guarded=yes\n');
  expect(looks([{ kind: 'run', title: 'append', argv: ['append'], unless: ['is', 'there'] }])).toEqual([due, '  already is there || return 1']);
  expect(looks([{ kind: 'run', title: 'append', argv: ['append'] }])).toEqual([expect.stringContaining('\n  guarded=yes\n'), '  :']);
  expect(looks([{ kind: 'remove', path: '/etc/our.conf' }])).toEqual([due, '  [ ! -e /etc/our.conf ] || return 1']);
});

test.each<[string, Step[], string]>([
  ['a NUL in a content', [{ kind: 'write', path: '/a', content: 'a\0', mode: 0o644 }], 'NUL'],
  ['a path that depends on the directory', [{ kind: 'make-directory', path: 'etc', mode: 0o755 }], 'not an absolute path: etc'],
  ['a new login that nothing guards', [{ kind: 'new-login' }], 'under a guard'],
  ['a guard that is armed too late', [guarded[2]!, { kind: 'new-login' }, guarded[3]!], 'under a guard'],
])('%s cannot be said', (_, steps, message) => {
  expect(() => toScript(steps, about)).toThrow(message);
});

test.each<[string, Step[]]>([['a plan of every kind', guarded], ['an empty plan', []]])('shellcheck has nothing to say against %s', async (_, steps) => {
  const path = join(folder, 'checked.sh');
  writeFileSync(path, toScript(steps, steps.length > 0 ? about : { title: 'nothing' }));
  for (const shell of ['sh', 'dash', 'bash']) expect(await execute(['shellcheck', '--shell', shell, path])).toEqual({ code: 0, stdout: '', stderr: '' });
});

/** Anything but NUL, with what is special to a shell, to echo and to here-documents more often than by chance. */
const text = fc.string({ unit: fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom("'", '"', '\\', '\n', '$', '`', '!', '$(id)', '\\n', 'END', '\nEND\n', '\nA_END\n', '\nA', '\nE', '\r', '\t', ' ', '\u0001', '\u007F', '\u0088', '%s', '&', '*', '~', '<%', '%>', '\u2028') },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 1 }) },
) }).filter((one) => !one.includes('\0')).map((one) => Buffer.from(one).toString());

describe.each(shells())('in %s', (_, shell) => {
  test('contents and words arrive as they are', () => {
    fc.assert(fc.property(fc.array(text, { minLength: 1, maxLength: 3 }), fc.array(text, { minLength: 1, maxLength: 4 }), (contents, words) => {
      const here = freshFolder();
      try {
        const steps: Step[] = [
          ...contents.map((content, at): Step => ({ kind: 'write', path: `${here}/${at}`, content, mode: at === 1 ? 0o600 : 0o644 })),
          { kind: 'run', title: words.join(' '), argv: ['sh', '-c', 'file=$1; shift; printf "%s\\0" "$@" >"$file"', 'sh', `${here}/words`, ...words] },
        ];
        execFileSync(asRoot(shell)[0]!, asRoot(shell).slice(1), { input: toScript(steps, { title: words.join('') }), stdio: ['pipe', 'pipe', 'pipe'] });
        contents.forEach((content, at) => {
          expect(readFileSync(join(here, String(at)), 'utf8')).toBe(content);
          expect(statSync(join(here, String(at))).mode & 0o7777).toBe(at === 1 ? 0o600 : 0o644);
        });
        expect(readFileSync(join(here, 'words'), 'utf8')).toBe(words.map((one) => `${one}\0`).join(''));
        expect(readdirSync(here)).toHaveLength(contents.length + 1);
      } finally {
        rmSync(here, { recursive: true });
      }
    }), { numRuns: 25 });
  }, 120_000);

  test('a command as it is shown is that command for a shell', () => {
    fc.assert(fc.property(fc.array(text, { minLength: 1, maxLength: 5 }), (words) => {
      const printed = execFileSync(shell[0]!, [...shell.slice(1), '-c', `printf '%s\\0' ${commandLine(words)}`], { encoding: 'utf8' });
      expect(printed).toBe(words.map((one) => `${one}\0`).join(''));
    }), { numRuns: 60 });
  }, 60_000);
});
