import { expect } from '@jest/globals';
import { dirname } from 'node:path';
import { SERVER } from '../../src/server/places.ts';
import type { Lane } from './lockoutCuts.ts';
import { succeed } from './lockoutCuts.ts';

type Work = () => Promise<void>;

/**
 * A program of that name stands before the real one while the work is done: `text` is sh, and then the real one runs.
 * Nothing of the work is to be left then; `state` is what sshd goes by and what the disk holds.
 */
async function withShim(lane: Lane, name: string, text: string, work: Work, state = [lane.without, lane.bare] as const): Promise<void> {
  const { drill } = lane;
  const { server } = drill;
  const path = `/usr/local/sbin/${name}`;
  const real = (await server.succeed(['sh', '-c', 'command -v "$1"', 'sh', name])).trim();
  await server.writeFile(path, `#!/bin/sh\n${text}\nexec ${real} "$@"\n`, { mode: 0o755 });
  try {
    await work();
  } finally {
    await server.succeed(['rm', '-f', path, '/run/shim']);
  }
  await drill.expectState(...state);
}

/** Somebody else's settings, in a drop-in where there are such and otherwise at the head of sshd_config. */
const edit = ({ drill: { configuration } }: Lane, line: string) =>
  (configuration === MAIN ? `sed -i '1i ${line}' ${MAIN}` : `echo '${line}' > ${OTHER}`);
const MAIN = '/etc/ssh/sshd_config';
const OTHER = '/etc/ssh/sshd_config.d/60-other.conf';

async function withEdit(lane: Lane, line: string, work: Work): Promise<void> {
  const { server, configuration } = lane.drill;
  await server.succeed(['sh', '-c', edit(lane, line)]);
  try {
    await work();
  } finally {
    await server.succeed(['sh', '-c', configuration === MAIN ? `sed -i 1d ${MAIN}` : `rm -f ${OTHER}`]);
    await settle(lane);
  }
}

/** By the administrator's own hand. */
async function settle({ drill: { server } }: Lane): Promise<void> {
  await server.succeed(['rm', '-f', OTHER]);
  await server.run(['systemctl', 'reset-failed', 'ssh.service']);
  await server.succeed(['systemctl', 'reload-or-restart', 'ssh.service']);
  await server.succeed(['sh', '-c', 'until [ -f /run/sshd.pid ] && [ -z "$(find /etc/ssh/sshd_config /etc/ssh/sshd_config.d -newercm /run/sshd.pid)" ]; do sleep 0.1; done']);
}

/** A setup that fails, with its words; the rest is for the caller to see. */
async function failing({ drill }: Lane, words: RegExp, args: readonly string[] = ['setup'], code = 1): Promise<string> {
  const ended = await drill.revtun(args);
  expect([ended.code, ended.stderr]).toEqual([code, expect.stringMatching(words)]);
  expect(ended.stderr).not.toMatch(/^\s+at /m);
  return ended.stderr;
}

const UNDONE = /Undone: the server is as it was before\./;

/** sshd refuses what is there already: nothing is begun. */
export const brokenBefore = (lane: Lane) => withEdit(lane, 'Bogus yes', async () => {
  const before = lane.drill.snapshot();
  const said = await failing(lane, new RegExp(String.raw`${lane.drill.configuration === MAIN ? MAIN : OTHER}:? line 1: .*Bogus`));
  expect(said).not.toContain('Undone');
  await lane.drill.expectLogins();
  expect(await lane.drill.traces()).toBe('');
  expect(lane.drill.snapshot()).toEqual(before);
});

/** It becomes so after it was looked at. */
export const brokenMeanwhile = (lane: Lane) => withShim(lane, 'systemd-run', edit(lane, 'Bogus yes'), async () => {
  const said = await failing(lane, /60-other\.conf: line 1: Bad configuration option/);
  expect(said).toContain('New logins get in.');
  expect(said).not.toContain('puts itself back');
  await lane.drill.expectLogins();
  await settle(lane);
});

/** An edit that lay there unread, and that would lock people out: to take our own change back would not help them. */
export const unreadBefore = (line: string) => (lane: Lane) => withEdit(lane, line, async () => {
  const before = lane.drill.snapshot();
  await failing(lane, /has not read yet what was changed in \/etc\/ssh\/sshd_config/, ['setup'], 2);
  await lane.drill.expectLogins();
  expect(await lane.drill.traces()).toBe('');
  expect(lane.drill.snapshot()).toEqual(before);
});

/** The same, once it is set up and is to be removed. */
export const unreadBeforeRemoval = (line: string) => async (lane: Lane) => {
  await succeed(lane.drill, 'setup');
  await withEdit(lane, line, async () => {
    await failing(lane, /has not read yet/, ['remove', '--all'], 2);
    await lane.drill.expectLogins();
  });
  await succeed(lane.drill, 'remove', '--all');
  await lane.drill.expectState(lane.without, lane.bare);
};

/** It comes between the look and the reload: no new login gets in by somebody else's doing, and that is what is said. */
export const lockedOutMeanwhile = (line: string) => (lane: Lane) => withShim(lane, 'systemd-run', edit(lane, line), async () => {
  const said = await failing(lane, /No new login gets in any more, though the change is taken back/, ['setup'], line.startsWith('Allow') ? 4 : 1);
  expect(said).not.toMatch(UNDONE);
  expect((await lane.drill.server.run(['grep', '-rl', 'revtun', '/etc/ssh'])).stdout).toBe('');
  await settle(lane);
});

/** What a systemctl that is asked to reload does instead; its first reload is the new configuration's. */
export const reloading = (instead: string, words: RegExp, code = 1) => (lane: Lane) =>
  withShim(lane, 'systemctl', `case "$*" in "reload ssh"*) ${instead};; esac`, async () => {
    const said = await failing(lane, words, ['setup'], code);
    expect(said).not.toContain('No new login');
    await lane.drill.expectLogins();
    // It never reads what was written and put back.
    if (instead === RELOADS.fails) await settle(lane);
  });

export const RELOADS = {
  doesNothing: '[ -e /run/shim ] || { touch /run/shim; exit 0; }',
  fails: 'echo "reload: injected" >&2; exit 1',
  failsOnce: '[ -e /run/shim ] || { touch /run/shim; echo "reload: injected" >&2; exit 1; }',
  isDoneButFails: '/usr/bin/systemctl "$@"; echo "reload: injected" >&2; exit 1',
  endsSshd: '[ -e /run/shim ] || { touch /run/shim; exec /usr/bin/systemctl kill --kill-who=main -s TERM ssh.service; }',
  // What the new configuration would do; the second reload is the old one's.
  refusesLogins: `f=${OTHER}; if [ -e /run/shim ]; then rm -f $f; else touch /run/shim; echo "DenyUsers root pi" > $f; fi`,
} as const;

/** A directory on a disk of its own, where there is no room any more. */
export const full = (directoryOf: (lane: Lane) => string) => (lane: Lane) => {
  const directory = directoryOf(lane);
  return onMount(lane, directory, `
cp -a "$1/." /run/copy && mount -t tmpfs -o size=64m,mode=755 tmpfs "$1" && cp -a /run/copy/. "$1" && rm -r /run/copy
if [ "$1" != /etc/systemd/system ]; then systemctl reload ssh.service; fi
until [ -z "$(find /etc/ssh/sshd_config /etc/ssh/sshd_config.d -newercm /run/sshd.pid)" ]; do sleep 0.1; done
cat /dev/zero > "$1/.fill" 2> /dev/null || true`, /No space left|cannot lock|failure while writing|cannot open/);
};

export const readOnly = (directoryOf: (lane: Lane) => string) => (lane: Lane) =>
  onMount(lane, directoryOf(lane), 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1"', /Read-only|cannot lock/);

async function onMount(lane: Lane, directory: string, mount: string, words: RegExp): Promise<void> {
  const { server } = lane.drill;
  const listing = () => server.succeed(['sh', '-c', 'cd "$1" && find . ! -name "*-" ! -name ".fill" ! -name ".pwd.lock" -printf "%p %y %m %u %l\n" | sort; find . -type f ! -name "*-" ! -name .fill -exec sha256sum {} + | sort', 'sh', directory]);
  await server.succeed(['sh', '-ec', `rm -rf /run/copy; mkdir -p /run/copy; ${mount}`, 'sh', directory]);
  try {
    const before = await listing();
    expect(await failing(lane, words)).toMatch(UNDONE);
    expect(await listing()).toBe(before);
    await lane.drill.expectLogins();
    expect(await lane.drill.traces()).toBe('');
  } finally {
    await server.succeed(['umount', directory]);
    await server.succeed(['rm', '-rf', '/run/copy']);
    await settle(lane);
  }
  await lane.drill.expectState(lane.without, lane.bare);
}

/** Neither a script nor a timer finds room in /run; systemd itself does not reload then, which is said. */
export async function fullRun(lane: Lane): Promise<void> {
  const { server } = lane.drill;
  await server.succeed(['sh', '-c', 'mount -o "remount,size=$(($(df --output=used -B1 /run | tail -n 1)))" /run']);
  try {
    expect(await failing(lane, /No space left|not enough space/)).toMatch(/Undone: the server is as it was|as said above/);
    await lane.drill.expectLogins();
  } finally {
    await server.succeed(['mount', '-o', 'remount,size=64m', '/run']);
    await server.succeed(['systemctl', 'daemon-reload']);
  }
  await lane.drill.expectState(lane.without, lane.bare);
}

/** Without what would put it back, sshd's configuration is not touched. */
export const noTimer = (lane: Lane) => withShim(lane, 'systemd-run', 'echo "timer: injected" >&2; exit 1', async () => {
  expect(await failing(lane, /timer: injected/)).toMatch(UNDONE);
});

const FIRE_AT_ONCE = `setsid sh -c 'until [ -d ${SERVER.armed} ]; do :; done; exec sh ${SERVER.armed}/script restore' </dev/null >/dev/null 2>&1 &`;

/** As when the run stood still for a minute: the timer has put back what was not changed yet, and nothing is changed then. */
export const timerFiresFirst = (lane: Lane) => withShim(lane, 'systemd-run', FIRE_AT_ONCE, async () => {
  expect(await failing(lane, /The time to put it back was up/)).toMatch(UNDONE);
});

/** An add that fails: its account's tool, half-way through it, or no room for the key. */
export async function failingAdd(lane: Lane): Promise<void> {
  const { drill } = lane;
  await succeed(drill, 'setup');
  const before = drill.snapshot();
  const add = ['add', 'cam', '--key', '/root/.ssh/id_ed25519.pub'];
  for (const text of ['echo "useradd: injected" >&2; exit 1', '/usr/sbin/useradd "$@"; echo "useradd: injected" >&2; exit 1']) {
    await withShim(lane, 'useradd', text, async () => {
      expect(await failing(lane, /useradd: injected/, add)).toMatch(UNDONE);
    }, [lane.with, before]);
  }
  await drill.server.succeed(['sh', '-c', 'mount -t tmpfs -o nr_inodes=1,mode=755 tmpfs /etc/ssh/revtun']);
  expect(await failing(lane, /No space left/, add)).toMatch(UNDONE);
  await drill.server.succeed(['umount', '/etc/ssh/revtun']);
  await drill.expectState(lane.with, before);
  await succeed(drill, 'remove', '--all');
  await drill.expectState(lane.without, lane.bare);
}

export const places = {
  etc: () => '/etc',
  library: () => '/etc/ssh',
  units: () => '/etc/systemd/system',
  configuration: ({ drill }: Lane) => dirname(drill.configuration),
} as const;
