import { dirname } from 'node:path';
import { refused } from '../errors.ts';
import { deviceScript, restoreScript, sessionDropIn, sshdBlock, sshdConfig, withBlock } from '../server/content.ts';
import { SERVER } from '../server/places.ts';
import { DEVICE_COMMENT, type ServerState } from '../server/state.ts';
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
  return [
    ...[SERVER.group, SERVER.publicGroup].filter((group) => !state.groups.has(group)).map(addGroup),
    ...directoryStep(state, dirname(SERVER.scriptDirectory)),
    ...directoryStep(state, SERVER.scriptDirectory),
    ...writeStep(state, SERVER.script, deviceScript(), 0o755),
    ...directoryStep(state, SERVER.keys),
    ...labelSteps(state),
    ...(state.systemd ? sessionSteps(state) : []),
    ...sshdSteps(state, wantedSshd(state)),
  ];
}

/** The way back from a setup whose devices are gone. What is not ours stays. */
export function planServerTeardown(state: ServerState): Step[] {
  const there = (path: string) => isOurFile(state, path);
  const steps: Step[] = sshdSteps(state, unwantedSshd(state));
  if (there(SERVER.session)) {
    steps.push({ kind: 'remove', path: SERVER.session, settle: DAEMON_RELOAD }, { kind: 'remove-directory', path: SERVER.sessionDirectory });
  }
  if (there(SERVER.script)) {
    if (labelsScript(state)) steps.push({ kind: 'run', title: 'forget its label', argv: ['semanage', 'fcontext', '-d', SERVER.script], undo: labelScript.argv, orElse: 'Its label for SELinux could not be taken away.' });
    steps.push({ kind: 'remove', path: SERVER.script });
  }
  for (const path of [SERVER.scriptDirectory, SERVER.keys]) {
    if (state.files.get(path)?.kind === 'directory') steps.push({ kind: 'remove-directory', path });
  }
  for (const group of [SERVER.group, SERVER.publicGroup]) {
    const { argv, undo } = addGroup(group);
    if (state.groups.has(group)) steps.push({ kind: 'run', title: 'remove the group', argv: undo, undo: argv });
  }
  return steps;
}

/** Whether anything of a setup is there. */
export function hasTraces(state: ServerState): boolean {
  return planServerTeardown(state).length > 0;
}

/** What sshd's files should hold, by path; undefined for one that should not be there. */
type Wanted = ReadonlyMap<string, string | undefined>;

function wantedSshd(state: ServerState): Wanted {
  const known = new Set(state.settings.keys());
  const main = state.files.get(SERVER.mainConfig)?.content ?? '';
  const dropIn = state.includesDropIns ? sshdConfig(known) : undefined;
  return new Map([
    [SERVER.mainConfig, withBlock(main, state.includesDropIns ? undefined : sshdBlock(known))],
    ...(dropIn !== undefined || isOurFile(state, SERVER.dropIn) ? [[SERVER.dropIn, dropIn] as const] : []),
  ]);
}

function unwantedSshd(state: ServerState): Wanted {
  return new Map([
    [SERVER.mainConfig, withBlock(state.files.get(SERVER.mainConfig)?.content ?? '', undefined)],
    ...(isOurFile(state, SERVER.dropIn) ? [[SERVER.dropIn, undefined] as const] : []),
  ]);
}

/**
 * sshd's configuration is changed while a timer on the server stands ready to put it back: nobody is locked out, even
 * when the connection breaks in the middle. Only a login that went well over the new configuration stops the timer.
 */
function sshdSteps(state: ServerState, wanted: Wanted): Step[] {
  const changes = [...wanted].filter(([path, content]) => state.files.get(path)?.content !== content);
  if (changes.length === 0) return [];
  const { reload, start } = sshdCommands(state);
  const settle = reload === undefined ? ['sshd', '-t'] : ['sh', '-c', template('server-reload.sh'), 'sh', hexPort(state), 'sh', '-c', reload];
  const mend = reload === undefined ? 'sshd -t' : `sshd -t && { ${reload} || ${start}; }`;
  return [
    { kind: 'write', path: SERVER.restore, content: restoreScript(changes.map(([path]) => path), mend), mode: 0o700 },
    {
      kind: 'run', title: 'have it restored by itself in a minute',
      argv: ['sh', SERVER.restore, 'arm'], undo: ['sh', '-c', 'test ! -e "$1" || exec sh "$1" restore', 'sh', SERVER.restore],
    },
    ...changes.map(([path, content], at): Step => {
      const settling = { settle, ...(at < changes.length - 1 && { settledLater: true }) };
      const mode = path === SERVER.mainConfig ? (state.files.get(path)?.mode ?? 0o644) : 0o644;
      // Of two changes the last one settles both.
      return content === undefined ? { kind: 'remove', path, ...(at === changes.length - 1 && { settle }) } : { kind: 'write', path, content, mode, ...settling };
    }),
    { kind: 'new-login' },
    { kind: 'run', title: 'keep it', argv: ['sh', SERVER.restore, 'disarm'] },
  ];
}

const hexPort = ({ settings }: ServerState) => Number(settings.get('port')?.[0] ?? 22).toString(16).toUpperCase().padStart(4, '0');

/**
 * A reload, never a restart: sessions that stand are none of its business. Constant text for a shell of the server; no
 * reload where each login starts an sshd that reads its configuration anyway.
 */
function sshdCommands({ sshd, settings }: ServerState): { reload: string | undefined; start: string } {
  if (sshd === 'per-connection') return { reload: undefined, start: 'true' };
  if (sshd !== 'by-signal') return { reload: `systemctl reload ${sshd}`, start: `systemctl start ${sshd}` };
  const [pidFile = ''] = settings.get('pidfile') ?? [];
  return { reload: `kill -HUP "$(cat ${/^\/[\w./-]+$/.test(pidFile) ? pidFile : '/run/sshd.pid'})"`, start: '"$(command -v sshd)"' };
}

function sessionSteps(state: ServerState): Step[] {
  const [write] = writeStep(state, SERVER.session, sessionDropIn(), 0o644);
  return write ? [...directoryStep(state, SERVER.sessionDirectory), { ...write, settle: DAEMON_RELOAD }] : [];
}

const DAEMON_RELOAD = ['systemctl', 'daemon-reload'];

const addGroup = (group: string) =>
  ({ kind: 'run', title: 'make the group', argv: ['groupadd', '--system', group], undo: ['groupdel', group], unless: ['getent', 'group', group] }) as const satisfies Step;

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
  return [...(labelsScript(state) ? [labelScript] : []), ...relabel(state, SERVER.scriptDirectory, SERVER.keys)];
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

function refuseForeign(state: ServerState): void {
  for (const path of [SERVER.script, SERVER.dropIn, SERVER.session]) {
    if (state.files.has(path) && !isOurFile(state, path)) {
      throw refused('not-ours', `${path} is there already on the server and was not written by revtun-setup; it is left untouched.`, 'Move it away, and run this again.');
    }
  }
  for (const path of [SERVER.scriptDirectory, SERVER.keys, SERVER.sessionDirectory]) {
    const found = state.files.get(path);
    if (found && (found.kind !== 'directory' || found.uid !== 0 || (found.mode & 0o022) !== 0)) {
      throw refused('not-ours', `${path} on the server is not a directory that root alone may write to.`, 'Move it away, or: chown root and chmod go-w it.');
    }
  }
  if (!state.includesDropIns && state.files.get(SERVER.mainConfig)?.kind !== 'file') {
    throw refused('not-ours', `${SERVER.mainConfig} on the server is not a plain file, and does not include ${dirname(SERVER.dropIn)}.`, `Add there: Include ${dirname(SERVER.dropIn)}/*.conf`);
  }
  const foreign = [...state.accounts.values()].filter(({ comment }) => comment !== DEVICE_COMMENT).map(({ name }) => name);
  if (foreign.length > 0) {
    throw refused('not-ours', `The server has accounts that are called as those of devices are, and were not made by revtun-setup: ${foreign.join(', ')}`, 'What is set for devices would hold for them too. Rename them: usermod --login NEW OLD');
  }
}
