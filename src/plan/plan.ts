import { dirname } from 'node:path';
import { isOurs } from '../template.ts';
import type { KeyPair } from '../tunnel/key.ts';
import { refused } from '../errors.ts';
import { tunnelArgv } from '../tunnel/ssh.ts';
import type { Scope, Tunnel } from '../tunnel/tunnel.ts';
import type { Installed } from '../unit/installed.ts';
import { formerCopies, type Places } from '../unit/places.ts';
import { hostKeyLines, type OutputFile, SERVICE_USER } from '../unit/render.ts';
import type { Systemctl } from '../unit/systemctl.ts';
import { wantsNotices } from '../tunnel/notice.ts';
import { planSilence, planWatching, stopTellingOnUndo } from './notice.ts';
import { ancestorsToMake, type Present, SERVICE_USER_COMMENT, type Shared } from './present.ts';
import type { Step } from './step.ts';

/** What should be there when an install is done. */
export interface Desired {
  readonly tunnel: Tunnel;
  readonly places: Places;
  /** In the order of {@link file://../unit/render.ts renderFiles}: known hosts, configuration, what tells people, unit. */
  readonly files: readonly OutputFile[];
  /** A key that was made for this tunnel and is not in place yet. */
  readonly newKey?: KeyPair;
  /** False for `--no-start`: enabled, but left as it is now. */
  readonly start: boolean;
  /** SELinux enforces: labels have to be put on new files. */
  readonly selinux: boolean;
}

/**
 * What has to happen for `desired` to be true; empty when it is already. Pure.
 *
 * The unit is switched over in one rename, so a power cut meets the old tunnel or the new one. What the unit refers to
 * is in place before it, and what only the old unit needs (its host key) goes after it.
 * @throws ExpectedError when something that is not ours is in the way
 */
export function planInstall(desired: Desired, present: Present, systemd: Systemctl, userName: string): Step[] {
  const { tunnel, places, start } = desired;
  refuseForeign(desired, present);
  const changed = desired.files.filter((file) => differs(file, present));
  const changedPaths = changed.map(({ path }) => path);
  const steps: Step[] = [];
  const { service } = present;
  const wasUp = service.activeState === 'active' || service.activeState === 'activating';
  const unitChanged = changedPaths.includes(places.unitFile) || changedPaths.includes(places.sshConfig);
  const outdated = unitChanged || service.needsReload || service.formerConfig === true || runsSomethingElse(desired, service.runningArgv);
  const starts = start && (outdated || service.activeState !== 'active');

  steps.push(...present.leftovers.map((path): Step => ({ kind: 'remove', path })));
  steps.push(...directorySteps(ancestorsToMake(places), present));
  if (desired.newKey) steps.push(...keySteps(desired.newKey, places));
  if (tunnel.scope === 'system' && present.serviceUser === 'absent') steps.push(addServiceUser);
  // One that was still trying goes on trying; whether it gets there is not for an undo to wait for.
  const again = service.activeState === 'activating' ? ['restart', '--no-block'] : ['restart'];
  if (wasUp && starts) steps.push({ kind: 'on-undo', argv: systemd.argv(...again, '--', places.unit) });

  // systemctl enable has systemd read its files anew by itself, and a reload is what takes longest.
  const units = [places.notice.serviceFile, places.notice.pathFile, places.unitFile].filter((path) => changedPaths.includes(path));
  const settling = (path: string) => ({ settle: systemd.argv('daemon-reload'), ...((!service.enabled || path !== units.at(-1)) && { settledLater: true }) });
  const keepOld = unitChanged ? keptHostKeys(desired, present) : '';
  for (const file of changed) {
    const content = file.path === places.knownHosts ? file.content + keepOld : file.content;
    steps.push({ kind: 'write', ...file, content, ...(units.includes(file.path) && settling(file.path)) });
  }
  if (changed.length > 0 && desired.selinux) {
    steps.push({ kind: 'run', title: 'label for SELinux', argv: ['restorecon', '-R', places.directory, ...desired.files.map(({ path }) => path).filter((path) => dirname(path) === places.unitDirectory)] });
  }
  if ((service.needsReload || present.notice.needsReload) && units.length === 0) {
    steps.push({ kind: 'run', title: 'have systemd read it', argv: systemd.argv('daemon-reload') });
  }
  if (tunnel.scope === 'user' && !present.lingering) steps.push(enableLingering(userName));
  if (!service.enabled) {
    steps.push({
      kind: 'run', title: 'start at boot',
      argv: systemd.argv('enable', '--', places.unit), undo: systemd.argv('disable', '--', places.unit),
    });
  }
  steps.push(...planWatching(desired, present, changedPaths, systemd, starts));
  if (starts) {
    if (wantsNotices(tunnel)) steps.push(stopTellingOnUndo(places, systemd));
    if (!wasUp && tunnel.scope === 'system') steps.push({ kind: 'on-undo', argv: forgetRefusal(places) });
    steps.push({
      kind: 'run', title: wasUp ? 'restart' : 'start',
      argv: systemd.argv(wasUp ? 'restart' : 'start', '--', places.unit), undo: systemd.argv('stop', '--', places.unit),
      ...(wasUp && { outlivesSession: true }),
    });
  }
  const knownHosts = desired.files.find(({ path }) => path === places.knownHosts);
  if (!wantsNotices(tunnel)) steps.push(...planSilence(places, present, systemd));
  if (keepOld !== '' && knownHosts) steps.push({ kind: 'write', ...knownHosts });
  return steps;
}

/** Keeps a key whose public half a person now carries to the server: the next run must find the same one. */
export function planKeepKey(key: KeyPair, places: Places, present: Present): Step[] {
  const all = ancestorsToMake(places);
  return [...directorySteps(all.slice(0, all.indexOf(places.directory) + 1), present), ...keySteps(key, places)];
}

const directorySteps = (paths: readonly string[], present: Present): Step[] =>
  paths.filter((path) => !present.files.has(path)).map((path) => ({ kind: 'make-directory', path, mode: 0o755 }));

const keySteps = ({ privateKey, publicKey }: KeyPair, { generatedKey }: Places): Step[] => [
  { kind: 'write', path: generatedKey, content: privateKey, mode: 0o600 },
  { kind: 'write', path: `${generatedKey}.pub`, content: `${publicKey}\n`, mode: 0o644 },
];

/** The way back from an install. Files without our header and drop-ins of the user's stay. */
export function planUninstall(installed: Installed, present: Present, systemd: Systemctl): Step[] {
  const { places } = installed;
  const { service } = present;
  const steps: Step[] = [];
  if (service.activeState === 'active' || service.activeState === 'activating' || service.activeState === 'reloading') {
    steps.push({ kind: 'run', title: 'stop', argv: systemd.argv('stop', '--', places.unit), undo: systemd.argv('start', '--no-block', '--', places.unit), outlivesSession: true });
  }
  if (service.activeState === 'activating' && installed.scope === 'system') {
    steps.push({ kind: 'run', title: 'forget that it was refused', argv: forgetRefusal(places) });
  }
  if (service.activeState === 'failed') {
    steps.push({ kind: 'run', title: 'forget its failure', argv: systemd.argv('reset-failed', '--', places.unit) });
  }
  if (service.enabled) {
    steps.push({ kind: 'run', title: 'no longer start at boot', argv: systemd.argv('disable', '--', places.unit), undo: systemd.argv('enable', '--', places.unit) });
  }
  const ours = (path: string) => isOurs(present.files.get(path)?.content ?? '');
  if (ours(places.unitFile)) steps.push({ kind: 'remove', path: places.unitFile, settle: systemd.argv('daemon-reload') });
  steps.push(...planSilence(places, present, systemd));
  for (const path of [places.sshConfig, places.knownHosts, ...formerCopies(places)]) {
    if (ours(path)) steps.push({ kind: 'remove', path });
  }
  for (const path of [places.generatedKey, `${places.generatedKey}.pub`, ...present.leftovers]) {
    if (present.files.get(path)?.kind === 'file' || present.leftovers.includes(path)) steps.push({ kind: 'remove', path });
  }
  for (const path of ancestorsToMake(places).toReversed()) {
    if (present.files.has(path)) steps.push({ kind: 'remove-directory', path });
  }
  return steps;
}

/**
 * What goes with the last tunnel of a scope: the account, and lingering if we switched it on. A run that was killed
 * may have left it behind after the last tunnel; it is found again all the same.
 */
export function planFarewell(scope: Scope, present: Shared, userName: string, lingering: boolean): Step[] {
  if (scope === 'system') {
    return present.serviceUser === 'ours' ? [{ kind: 'run', title: 'remove the service user', argv: addServiceUser.undo, undo: addServiceUser.argv }] : [];
  }
  if (!lingering || !present.lingering) return [];
  const { argv, undo } = enableLingering(userName);
  return [{ kind: 'run', title: 'switch lingering off', argv: undo, undo: argv, orElse: `Lingering for ${userName} could not be switched off; ask root for: loginctl disable-linger ${userName}` }];
}

/** systemd before 257 leaves a RuntimeDirectory= that outlives restarts behind when it is stopped between two of them. */
const forgetRefusal = ({ unit }: Places) => ['rm', '-rf', '--', `/run/${unit.replace(/\.service$/, '')}`];

const addServiceUser = {
  kind: 'run',
  title: 'make the service user',
  argv: [
    'useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent',
    '--shell', '/usr/sbin/nologin', '--comment', SERVICE_USER_COMMENT, SERVICE_USER,
  ],
  undo: ['userdel', SERVICE_USER],
} as const satisfies Step;

const enableLingering = (userName: string) =>
  ({
    kind: 'run',
    title: 'keep it up after logout',
    argv: ['loginctl', 'enable-linger', userName],
    undo: ['loginctl', 'disable-linger', userName],
    orElse: `Lingering may not be switched on from here: the tunnel ends when ${userName} logs out. Ask root for: loginctl enable-linger ${userName}`,
  }) as const satisfies Step;

const differs = (file: OutputFile, present: Present) => {
  const found = present.files.get(file.path);
  return found?.content !== file.content || found.mode !== file.mode;
};

/** A run that was killed between writing and restarting leaves a service that does not yet do what its unit says. */
function runsSomethingElse({ tunnel, places }: Desired, running: readonly string[] | undefined): boolean {
  return running !== undefined && running.join('\0') !== tunnelArgv(tunnel, places.sshConfig).join('\0');
}

function refuseForeign({ files, tunnel }: Desired, present: Present): void {
  for (const { path } of files) {
    const found = present.files.get(path);
    if (found && (found.kind !== 'file' || !isOurs(found.content ?? ''))) {
      throw refused(
        'not-ours',
        `${path} is there already and was not written by revtun-setup; it is left untouched.`,
        'Choose another name with --name, or move that file away.',
      );
    }
  }
  if (tunnel.scope === 'system' && present.serviceUser === 'foreign') {
    throw refused(
      'not-ours',
      `There is a user "${SERVICE_USER}" on this machine that was not made by revtun-setup.`,
      'Rename it, or use --scope user.',
    );
  }
}

/** Host keys that the installed unit still needs until it is replaced. */
function keptHostKeys({ files, places }: Desired, present: Present): string {
  const old = present.files.get(places.knownHosts)?.content ?? '';
  const now = files.find(({ path }) => path === places.knownHosts)?.content ?? '';
  return hostKeyLines(old).filter((line) => !now.includes(line)).map((line) => `${line}\n`).join('');
}
