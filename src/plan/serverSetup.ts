import { dirname } from 'node:path';
import { refused } from '../errors.ts';
import { deviceScript, restoreScript, sessionDropIn, sshdBlock, sshdConfig, withBlock } from '../server/content.ts';
import { SERVER } from '../server/places.ts';
import { DEVICE_COMMENT, KEYS_COMMENT, type ServerState } from '../server/state.ts';
import { template } from '../package.ts';
import { HEADER, isOurs } from '../template.ts';
import type { Step } from './step.ts';

/**
 * What has to happen for a server to take devices; empty when it does already. Pure.
 *
 * sshd's own configuration comes last: what it names is in place before it.
 * @throws ExpectedError when something that is not ours is in the way
 */
export function planServerSetup(state: ServerState): Step[] {
  refuseForeign(state);
  const sshd = sshdSteps(state, wantedSshd(state));
  refuseUnread(state, sshd);
  return [
    ...[SERVER.group, SERVER.publicGroup].filter((group) => !state.groups.has(group)).map(addGroup),
    ...(state.keysUser ? [] : [addKeysUser]),
    ...writeStep(state, SERVER.script, deviceScript(), 0o755),
    ...directoryStep(state, SERVER.keys),
    ...labelSteps(state),
    ...(state.systemd ? sessionSteps(state) : []),
    ...sshd,
  ];
}

/**
 * The way back from a setup whose devices are gone. What is not ours stays.
 * @throws ExpectedError when sshd's configuration cannot be changed now
 */
export function planServerTeardown(state: ServerState): Step[] {
  const steps = teardownSteps(state);
  refuseUnread(state, steps);
  return steps;
}

function teardownSteps(state: ServerState): Step[] {
  const there = (path: string) => isOurFile(state, path);
  const steps: Step[] = sshdSteps(state, sshdFiles(state, {}));
  if (there(SERVER.session)) {
    steps.push({ kind: 'remove', path: SERVER.session, settle: DAEMON_RELOAD });
  }
  // A run that was cut off may have left only this.
  if (there(SERVER.session) || state.emptyDirectories.has(SERVER.sessionDirectory)) steps.push({ kind: 'remove-directory', path: SERVER.sessionDirectory });
  if (there(SERVER.script)) {
    if (labelsScript(state)) steps.push({ kind: 'run', title: 'forget its label', argv: ['semanage', 'fcontext', '-d', SERVER.script], undo: labelScript.argv, orElse: 'Its label for SELinux could not be taken away.' });
    steps.push({ kind: 'remove', path: SERVER.script });
  }
  if (state.files.get(SERVER.keys)?.kind === 'directory') steps.push({ kind: 'remove-directory', path: SERVER.keys });
  if (state.keysUser?.comment === KEYS_COMMENT) steps.push({ kind: 'run', title: 'remove the user', argv: ['userdel', SERVER.keysUser], undo: onlyIf(false, addKeysUser.unless, addKeysUser.argv) });
  for (const group of [SERVER.group, SERVER.publicGroup]) {
    const { argv, unless } = addGroup(group);
    if (state.groups.has(group)) steps.push({ kind: 'run', title: 'remove the group', argv: ['groupdel', group], undo: onlyIf(false, unless, argv) });
  }
  return steps;
}

/** Whether anything of a setup is there. */
export function hasTraces(state: ServerState): boolean {
  return teardownSteps(state).length > 0;
}

/** What sshd's files should hold, by path; undefined for one that should not be there. */
type Wanted = ReadonlyMap<string, string | undefined>;

function wantedSshd(state: ServerState): Wanted {
  const known = new Set(state.settings.keys());
  return sshdFiles(state, state.includesDropIns ? { dropIn: sshdConfig(known) } : { block: sshdBlock(known) });
}

/** The drop-in comes last: it is what settles both. */
function sshdFiles(state: ServerState, { block, dropIn }: { block?: string; dropIn?: string }): Wanted {
  return new Map([
    ...mainWith(state, block),
    ...(dropIn !== undefined || isOurFile(state, SERVER.dropIn) ? [[SERVER.dropIn, dropIn] as const] : []),
  ]);
}

/**
 * The main file, where it is one whose bytes are known: all else is left alone.
 * @throws ExpectedError when it would be changed, and some of its bytes are not text that could be written back
 */
function mainWith({ files }: ServerState, block: string | undefined): [string, string][] {
  const found = files.get(SERVER.mainConfig);
  if (found?.kind !== 'file' || found.content === undefined) return [];
  const wanted = withBlock(found.content, block);
  if (wanted !== found.content && found.content.includes('\uFFFD')) {
    throw refused('sshd-not-utf8', `${SERVER.mainConfig} on the server holds bytes that are not UTF-8; it is left untouched.`, `Find them there: grep -naxv '.*' ${SERVER.mainConfig}`);
  }
  return [[SERVER.mainConfig, wanted]];
}

/**
 * sshd's configuration is changed while a timer on the server stands ready to put it back: nobody is locked out, even
 * when the connection breaks in the middle. Only a login that went well over the new configuration stops the timer.
 */
function sshdSteps(state: ServerState, wanted: Wanted): Step[] {
  const changes = [...wanted].filter(([path, content]) => state.files.get(path)?.content !== content);
  if (changes.length === 0) return [];
  const { reload, runs, start } = sshdCommands(state);
  const settle = reload === undefined ? ['sshd', '-t'] : ['sh', '-c', template('server-reload.sh'), 'sh', 'sh', '-c', reload];
  const mend = reload === undefined ? 'sshd -t' : `if ${runs}; then sshd -t && { ${reload} || ${start}; }; else ${start}; fi`;
  return [
    { kind: 'write', path: SERVER.restore, content: restoreScript(changes.map(([path]) => path), mend), mode: 0o700 },
    {
      kind: 'run', title: 'have it restored by itself in a minute',
      argv: ['sh', SERVER.restore, 'arm'], undo: ['sh', '-c', 'test ! -e "$1" || exec sh "$1" restore', 'sh', SERVER.restore],
    },
    ...changes.map(([path, content], at): Step => {
      const settling = { settle, guarded: GUARDED };
      if (content === undefined) return { kind: 'remove', path, ...settling };
      const mode = path === SERVER.mainConfig ? (state.files.get(path)?.mode ?? 0o644) : 0o644;
      // Of two changes the last one settles both.
      return { kind: 'write', path, content, mode, ...settling, ...(at < changes.length - 1 && { settledLater: true }) };
    }),
    { kind: 'new-login' },
    { kind: 'run', title: 'keep it', argv: ['sh', SERVER.restore, 'disarm'] },
  ];
}

/** A run that stood still for a minute, like a laptop that slept, must not go on when the timer has fired. */
const GUARDED = ['sh', '-c', '[ -d "$1" ] || { echo "The time to put it back was up before the change took effect." >&2; exit 1; }', 'sh', SERVER.armed];

/**
 * A reload, never a restart: sessions that stand are none of its business. Constant text for a shell of the server; no
 * reload where each login starts an sshd that reads its configuration anyway. Where it does not run any more, sshd -t
 * fails though all is sound: /run/sshd has gone with the service.
 */
function sshdCommands({ sshd, activated, settings }: ServerState): { reload: string | undefined; runs: string; start: string } {
  if (sshd === 'per-connection') return { reload: undefined, runs: 'true', start: 'true' };
  // A signal ends an sshd that systemd listens for, as it cannot bind the port; a restart leaves socket and sessions alone.
  if (sshd !== 'by-signal') return { reload: `systemctl ${activated ? 'try-restart' : 'reload'} ${sshd}`, runs: `systemctl --quiet is-active ${sshd}`, start: `systemctl start ${sshd}` };
  const [named = ''] = settings.get('pidfile') ?? [];
  const pidFile = /^\/[\w./-]+$/.test(named) ? named : '/run/sshd.pid';
  return { reload: `kill -HUP "$(cat ${pidFile})"`, runs: `kill -0 "$(cat ${pidFile})"`, start: 'systemctl start ssh.service 2>/dev/null || systemctl start sshd.service 2>/dev/null || "$(command -v sshd)"' };
}

function sessionSteps(state: ServerState): Step[] {
  const [write] = writeStep(state, SERVER.session, sessionDropIn(), 0o644);
  return write ? [...directoryStep(state, SERVER.sessionDirectory), { ...write, settle: DAEMON_RELOAD }] : [];
}

const DAEMON_RELOAD = ['systemctl', 'daemon-reload'];

/** For the way back from a command that may have failed before it did anything: getent's three words tell whether it has. */
export function onlyIf(isThere: boolean, look: readonly [string, string, string], argv: readonly string[]): string[] {
  return ['sh', '-c', `${isThere ? '! ' : ''}getent "$2" "$3" >/dev/null || { shift 3; exec "$@"; }`, 'sh', ...look, ...argv];
}

const addGroup = (group: string) =>
  ({ kind: 'run', title: 'make the group', argv: ['groupadd', '--system', group], undo: onlyIf(true, ['getent', 'group', group], ['groupdel', group]), unless: ['getent', 'group', group] }) as const satisfies Step;

/** sshd_config(5) asks for a user that has no other role on the host. */
const addKeysUser = {
  kind: 'run', title: 'make the user',
  argv: ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent', '--shell', '/usr/sbin/nologin', '--comment', KEYS_COMMENT, SERVER.keysUser],
  undo: onlyIf(true, ['getent', 'passwd', SERVER.keysUser], ['userdel', SERVER.keysUser]),
  unless: ['getent', 'passwd', SERVER.keysUser],
} as const satisfies Step;

const directoryStep = ({ files }: ServerState, path: string): Step[] => (files.has(path) ? [] : [{ kind: 'make-directory', path, mode: 0o755 }]);

function writeStep({ files }: ServerState, path: string, content: string, mode: number): Extract<Step, { kind: 'write' }>[] {
  const found = files.get(path);
  return found?.content === content && found.mode === mode ? [] : [{ kind: 'write', path, content, mode }];
}

/** Whether the script needs a label other than its place gives it: sshd may start what is labelled as a shell. */
const labelsScript = ({ selinux }: ServerState) => selinux.enforcing && selinux.semanage;

const labelScript = {
  kind: 'run', title: 'label it as a shell', argv: ['semanage', 'fcontext', '-a', '-t', 'shell_exec_t', SERVER.script],
  undo: ['semanage', 'fcontext', '-d', SERVER.script],
  orElse: `SELinux enforces there, and ${SERVER.script} could not be labelled as a shell (semanage fcontext): sshd may not be able to start it.`,
} as const satisfies Step;

function labelSteps(state: ServerState): Step[] {
  const isNew = !state.files.has(SERVER.script);
  if (!state.selinux.enforcing || !isNew) return [];
  return [...(labelsScript(state) ? [labelScript] : []), ...relabel(state, SERVER.script, SERVER.keys)];
}

/** Puts on new files the labels that SELinux has for their place. */
export function relabel({ selinux }: ServerState, ...paths: string[]): Step[] {
  if (!selinux.enforcing || !selinux.restorecon) return [];
  return [{ kind: 'run', title: 'label for SELinux', argv: ['restorecon', '-R', ...paths], orElse: `restorecon could not label ${paths.join(' and ')}; where SELinux enforces, sshd may not be able to read that.` }];
}

/** The script begins with the line that names its shell, and with our header after it. */
export function isOurFile({ files }: ServerState, path: string): boolean {
  const content = files.get(path)?.content ?? '';
  return isOurs(path === SERVER.script ? content.slice(content.indexOf(HEADER)) : content);
}

/**
 * A reload puts into force whatever else was changed since sshd last read its configuration. Should that lock people
 * out, to take our own change back would not let them in again.
 * @throws ExpectedError when the steps reload, and there is something of the kind
 */
function refuseUnread({ unread, sshd }: ServerState, steps: readonly Step[]): void {
  if (unread.length === 0 || !steps.some(({ kind }) => kind === 'new-login')) return;
  throw refused('sshd-unread', `sshd has not read yet what was changed in ${unread.join(' and ')}. What is to be done here would put that into force as well.`,
    `With a second session open there, have sshd read it, and see that a new login works: ${sshd === 'by-signal' ? 'kill -HUP its process' : `systemctl reload ${sshd}`}. Then run this again.`);
}

function refuseForeign(state: ServerState): void {
  for (const path of [SERVER.script, SERVER.dropIn, SERVER.session]) {
    if (state.files.has(path) && !isOurFile(state, path)) {
      throw refused('not-ours', `${path} is there already on the server and was not written by revtun-setup; it is left untouched.`, 'Move it away, and run this again.');
    }
  }
  for (const path of [SERVER.configuration, SERVER.keys, SERVER.sessionDirectory]) {
    const found = state.files.get(path);
    if (found && (found.kind !== 'directory' || found.uid !== 0 || (found.mode & 0o022) !== 0)) {
      throw refused('not-ours', `${path} on the server is not a directory that root alone may write to.`, 'Move it away, or: chown root and chmod go-w it.');
    }
  }
  const main = state.files.get(SERVER.mainConfig);
  if (!state.includesDropIns && (main?.kind !== 'file' || main.content === undefined)) {
    throw refused('not-ours', `${SERVER.mainConfig} on the server is not a plain file that can be read, and does not include ${dirname(SERVER.dropIn)}.`, `Add there: Include ${dirname(SERVER.dropIn)}/*.conf`);
  }
  if (state.keysUser && state.keysUser.comment !== KEYS_COMMENT) {
    throw refused('not-ours', `The server has an account ${SERVER.keysUser} that was not made by revtun-setup; it is left untouched.`, 'Rename it: usermod --login NEW OLD');
  }
  const foreign = [...state.accounts.values()].filter(({ comment }) => comment !== DEVICE_COMMENT).map(({ name }) => name);
  if (foreign.length > 0) {
    throw refused('not-ours', `The server has accounts that are called as those of devices are, and were not made by revtun-setup: ${foreign.join(', ')}`, 'What is set for devices would hold for them too. Rename them: usermod --login NEW OLD');
  }
}
