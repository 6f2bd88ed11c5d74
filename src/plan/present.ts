import { join } from 'node:path';
import { lookUntil } from '../machine/lookUntil.ts';
import { type Identity, type FileStat, type Machine, TEMPORARY_FILE } from '../machine/machine.ts';
import { isOurs } from '../template.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import { formerCopies, type Places } from '../unit/places.ts';
import { hostKeyLines, SERVICE_USER } from '../unit/render.ts';
import { systemctl } from '../unit/systemctl.ts';
import { noticeFiles, type PresentNotice, readNotice } from './notice.ts';

/** What is there now that all tunnels of a scope share. */
export interface Shared {
  /** The account that units of the system scope run as. */
  readonly serviceUser: 'absent' | 'ours' | 'foreign';
  /** The user's services go on after logout. */
  readonly lingering: boolean;
}

/** What is there now, as far as a plan for one tunnel has to know. */
export interface Present extends Shared {
  /** By path; only what exists. */
  readonly files: ReadonlyMap<string, PresentFile>;
  readonly service: PresentService;
  readonly notice: PresentNotice;
  /** Half-written files that a killed run of ours left behind. */
  readonly leftovers: readonly string[];
}

export interface PresentFile extends FileStat {
  /** Of regular files; undefined for the rest. */
  readonly content: string | undefined;
}

export interface PresentService {
  /** systemd's ActiveState; `inactive` where it knows no such unit. */
  readonly activeState: string;
  readonly enabled: boolean;
  /** The unit file changed on disk since systemd read it. */
  readonly needsReload: boolean;
  /** The arguments of the ssh that runs now; undefined where none runs. */
  readonly runningArgv: readonly string[] | undefined;
  /** It began before its configuration was last written. */
  readonly formerConfig?: boolean;
}

/** GECOS of the account that we make, by which it is known as ours again. */
export const SERVICE_USER_COMMENT = 'revtun-setup tunnels';

export async function readPresent(machine: Machine, scope: Scope, places: Places, who: Identity): Promise<Present> {
  const paths = [
    places.knownHosts, places.sshConfig, places.unitFile, places.generatedKey, `${places.generatedKey}.pub`, ...noticeFiles(places.notice),
    ...formerCopies(places), ...ancestorsToMake(places),
  ];
  const files = new Map<string, PresentFile>();
  const [service, notice, shared, leftovers] = await Promise.all([
    readService(machine, scope, places, who),
    readNotice(machine, scope, places, who),
    readShared(machine, who),
    findLeftovers(machine, [places.unitDirectory, places.directory]),
    ...paths.map(async (path) => {
      const stat = await machine.stat(path);
      if (!stat) return;
      const content = stat.kind === 'file' && path !== places.generatedKey ? (await machine.read(path))?.toString() : undefined;
      files.set(path, { ...stat, content });
    }),
  ]);
  return { files, service, notice, ...shared, leftovers };
}

/** The host keys that are pinned for the tunnel already, as lines of known hosts; those of a file that is not ours do not count. */
export function pinnedIn({ files }: Pick<Present, 'files'>, { knownHosts }: Places): string[] {
  const content = files.get(knownHosts)?.content ?? '';
  return isOurs(content) ? hostKeyLines(content) : [];
}

export async function readShared(machine: Machine, who: Identity): Promise<Shared> {
  const [serviceUser, linger] = await Promise.all([readServiceUser(machine), machine.stat(`/var/lib/systemd/linger/${who.userName}`)]);
  return { serviceUser, lingering: linger !== undefined };
}

/** The directories that a tunnel's files need, outermost first. Those above them belong to the system or the home. */
export function ancestorsToMake(places: Places): string[] {
  if (places.unitDirectory === '/etc/systemd/system') return [places.ours, places.directory];
  const config = places.ours.replace(/\/revtun$/, '');
  return [config, places.ours, places.directory, `${config}/systemd`, places.unitDirectory];
}

/** Milliseconds: most starts take a quarter of a second; one that hangs need not be waited for. */
const SETTLING = 3000;

async function readService(machine: Machine, scope: Scope, places: Places, who: Identity): Promise<PresentService> {
  const systemd = systemctl(machine, scope, who);
  // A start that is under way (a killed run may have left it) decides itself within a moment: then what is seen is true.
  const found = await lookUntil(
    ({ ActiveState, SubState }) => ActiveState !== 'activating' || SubState !== 'start',
    () => systemd.show(places.unit, ['ActiveState', 'SubState', 'UnitFileState', 'NeedDaemonReload', 'ControlGroup']),
    { limit: SETTLING, every: 200 },
  );
  const running = found.ControlGroup === '' ? undefined : await runningSsh(machine, found.ControlGroup, places);
  return {
    activeState: found.ActiveState || 'inactive',
    enabled: found.UnitFileState === 'enabled',
    needsReload: found.NeedDaemonReload === 'yes',
    runningArgv: running?.argv,
    formerConfig: running?.formerConfig === true,
  };
}

/**
 * The tunnel's own ssh among the service's processes; with a jump host there are more. MainPID is not enough: systemd
 * cannot guess it for a forking service with two processes.
 */
export async function runningSsh(machine: Machine, controlGroup: string, places: Places): Promise<RunningSsh | undefined> {
  for (const root of ['/sys/fs/cgroup', '/sys/fs/cgroup/systemd', '/sys/fs/cgroup/unified']) {
    const pids = (await machine.read(`${root}${controlGroup}/cgroup.procs`))?.toString().split('\n') ?? [];
    for (const pid of pids.filter((line) => line !== '')) {
      const argv = (await machine.read(`/proc/${pid}/cmdline`))?.toString().split('\0').slice(0, -1);
      if (argv?.includes(places.sshConfig) === true && argv[1] === '-fNTy') return { argv, formerConfig: await isNewerThan(machine, places.sshConfig, pid) };
    }
  }
  return undefined;
}

export interface RunningSsh {
  readonly argv: readonly string[];
  /** It began before its configuration was last written. */
  readonly formerConfig: boolean;
}

/** Seconds; below it, what was measured at two moments says nothing. */
const LEAST_DIFFERENCE = 0.2;

/** Whether a file was written after a process began, by their ages: what the clock said when either happened may have been wrong. */
async function isNewerThan(machine: Machine, path: string, pid: string): Promise<boolean> {
  const [{ stdout }, stat, uptime] = await Promise.all([machine.run(['stat', '-c', '%.3Y', '--', path]), machine.read(`/proc/${pid}/stat`), machine.read('/proc/uptime')]);
  // The clock is read last: a machine that is busy meanwhile makes the file older.
  const fileAge = Date.now() / 1000 - Number(stdout);
  // proc(5): starttime is the 22nd field, in hundredths of a second since boot; the second may hold blanks.
  const began = Number(stat?.toString().replace(/^.*\) /s, '').split(' ')[19]) / 100;
  return stdout !== '' && fileAge >= 0 && fileAge < Number(uptime?.toString().split(' ')[0]) - began - LEAST_DIFFERENCE;
}

async function readServiceUser(machine: Machine): Promise<Present['serviceUser']> {
  const { code, stdout } = await machine.run(['getent', 'passwd', SERVICE_USER]);
  if (code !== 0) return 'absent';
  return stdout.split(':')[4] === SERVICE_USER_COMMENT ? 'ours' : 'foreign';
}

async function findLeftovers(machine: Machine, directories: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    directories.map(async (directory) => (await machine.list(directory)).filter((name) => TEMPORARY_FILE.test(name)).map((name) => join(directory, name))),
  );
  return found.flat();
}
