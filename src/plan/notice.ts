import type { Identity, Machine } from '../machine/machine.ts';
import { isOurs } from '../template.ts';
import { wantsNotices } from '../tunnel/notice.ts';
import type { Scope, Tunnel } from '../tunnel/tunnel.ts';
import type { NoticePlaces, Places } from '../unit/places.ts';
import { systemctl, type Systemctl } from '../unit/systemctl.ts';
import type { Present } from './present.ts';
import type { Step } from './step.ts';

/** What systemd says of the units that tell people; all `inactive` where there are none. */
export interface PresentNotice {
  readonly pathState: string;
  readonly serviceState: string;
  /** One of the two changed on disk since systemd read it. */
  readonly needsReload: boolean;
}

export const NO_NOTICE: PresentNotice = { pathState: 'inactive', serviceState: 'inactive', needsReload: false };

export async function readNotice(machine: Machine, scope: Scope, { notice }: Places, who: Identity): Promise<PresentNotice> {
  if (!(await machine.stat(notice.pathFile)) && !(await machine.stat(notice.serviceFile))) return NO_NOTICE;
  const [path, service] = await Promise.all([notice.path, notice.service].map((unit) => systemctl(machine, scope, who).show(unit, ['ActiveState', 'NeedDaemonReload'])));
  return {
    pathState: path!.ActiveState || 'inactive',
    serviceState: service!.ActiveState || 'inactive',
    needsReload: [path, service].some((unit) => unit!.NeedDaemonReload === 'yes'),
  };
}

export const noticeFiles = ({ script, serviceFile, pathFile }: NoticePlaces) => [script, serviceFile, pathFile];

const stopArgv = (systemd: Systemctl, { path, service }: NoticePlaces) => systemd.argv('stop', '--', path, service);

/** An install that is undone tells nobody, and a command may just be running. */
export const stopTellingOnUndo = ({ notice }: Places, systemd: Systemctl): Step => ({ kind: 'on-undo', argv: stopArgv(systemd, notice) });

/**
 * The tunnel's start brings the path unit along. What is left to do: one that was stopped beside a tunnel that goes on,
 * or that was changed while it is active.
 * @param starts the plan starts the tunnel
 */
export function planWatching({ tunnel, places }: { tunnel: Tunnel; places: Places }, present: Present, changed: readonly string[], systemd: Systemctl, starts: boolean): Step[] {
  const { pathState } = present.notice;
  const { path, pathFile } = places.notice;
  const isActive = pathState === 'active';
  const isMissed = !starts && present.service.activeState === 'active' && !isActive;
  if (!wantsNotices(tunnel) || !(isMissed || (isActive && changed.includes(pathFile)))) return [];
  return [{ kind: 'run', title: 'look out for news', argv: systemd.argv('restart', '--', path), undo: systemd.argv(isActive ? 'restart' : 'stop', '--', path) }];
}

/** Nobody is to be told any more. Files without our header stay. */
export function planSilence({ notice }: Places, present: Present, systemd: Systemctl): Step[] {
  const ours = noticeFiles(notice).filter((path) => isOurs(present.files.get(path)?.content ?? ''));
  if (ours.length === 0) return [];
  const settle = systemd.argv('daemon-reload');
  const { pathState, serviceState } = present.notice;
  const stop: Step = { kind: 'run', title: 'tell nobody any more', argv: stopArgv(systemd, notice), ...(pathState === 'active' && { undo: systemd.argv('start', '--', notice.path) }) };
  const failed = [...(pathState === 'failed' ? [notice.path] : []), ...(serviceState === 'failed' ? [notice.service] : [])];
  return [
    ...([pathState, serviceState].every((state) => state === 'inactive') ? [] : [stop]),
    ...(failed.length === 0 ? [] : [{ kind: 'run', title: 'forget its failure', argv: systemd.argv('reset-failed', '--', ...failed) } as const]),
    ...ours.toReversed().map((path): Step => ({ kind: 'remove', path, ...(path !== notice.script && { settle }) })),
  ];
}
