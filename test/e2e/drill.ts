import { expect } from '@jest/globals';
import type { Running } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { CLI, UNCHANGED, withoutBackups } from './world.ts';

/** How a run is cut off in its middle. */
export type Cut = 'connection' | 'network' | 'SIGKILL' | 'SIGINT';

export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  /** Titles of the steps that it said were done. */
  readonly done: readonly string[];
}

/** What sshd is told by its files, and what of them it has not read. */
interface Sshd {
  readonly effective: string;
  readonly unread: string;
}

export interface DrillPlan {
  readonly admin: Host;
  readonly server: Host;
  /** Who the administrator logs in as: root, or pi with sudo. */
  readonly login: 'root' | 'pi';
  /** Whether sshd_config includes drop-ins. */
  readonly includes: boolean;
}

/** A server whose administrator has a session open all the time, and works on it from another host. */
export interface Drill {
  readonly server: Host;
  readonly destination: string;
  /** Where sshd's settings go on this server. */
  readonly configuration: string;
  revtun(words: readonly string[]): Promise<Ended>;
  /** Ends a run when it has said that so many steps are done; for 'network', the caller heals the server. */
  cutAfter(steps: number, cut: Cut, words: readonly string[]): Promise<Ended>;
  /** Has the server notice at once that the connection of a run is gone, which it would in a minute or in hours. */
  noticeLoss(): Promise<void>;
  /** The administrator gets in anew, and the session that is open stands. */
  expectLogins(): Promise<void>;
  sshd(): Promise<Sshd>;
  /** What a run that was cut off may leave in /run, and what it must never leave beside a file. */
  traces(): Promise<string>;
  isArmed(): Promise<boolean>;
  /** Has the server do at once what its timer would do later. */
  fireTimer(): Promise<void>;
  snapshot(): Snapshot;
  /** Logins work, sshd's configuration is read and is that one, nothing is armed, and with a snapshot nothing is left. */
  expectState(sshd: string, before?: Snapshot): Promise<void>;
  close(): Promise<void>;
}

const SSH = ['ssh', '-F', 'none', '-o', 'BatchMode=yes', '-o', 'ControlPath=none', '-o', 'ConnectTimeout=10', '-o', 'StrictHostKeyChecking=yes'];

/** The configuration as it holds for the administrator and for a device; sshd writes its pid file whenever it has read it. */
const LOOK = `
for user in root pi revtun-x; do sshd -T -C "user=$user,host=h,addr=192.0.2.1" 2>&1; done
echo ==
find /etc/ssh/sshd_config /etc/ssh/sshd_config.d -type f -newercm /run/sshd.pid`;

const TRACES = `ls -d /run/revtun-restore* 2>/dev/null; systemctl list-units --all --no-legend 'revtun-*'; find /etc /usr/local -name '.revtun-*'; true`;

/**
 * Kills every session of sshd but those with the given ids, as a crash or a router would: nobody says goodbye. One that
 * ends by itself in the meantime is as good.
 */
const KILL_OTHERS = `
main=$(systemctl show -p MainPID --value ssh.service)
for pid in $(pgrep -x 'sshd|sshd-session|sshd-auth'); do
  case " $* $main " in *" $pid "*) ;; *) kill -KILL "$pid" || true;; esac
done`;

export async function startDrill({ admin, server, login, includes }: DrillPlan): Promise<Drill> {
  const destination = `${login}@${server.address}`;
  if (!includes) {
    const main = (await server.readFile('/etc/ssh/sshd_config')).replace(/^Include .*\n/m, '');
    await server.writeFile('/etc/ssh/sshd_config', main);
    await server.succeed(['systemctl', 'restart', 'ssh.service']);
  }
  const standing = admin.spawn([...SSH, destination, 'cat']);
  const echo = listenTo(standing);
  await echo('first');
  const kept = (await server.succeed(['pgrep', '-x', 'sshd|sshd-session'])).trim().split('\n');
  const scopes = async () => (await server.succeed(['systemctl', 'list-units', '--no-legend', 'session-*.scope'])).trim().split('\n').length;
  const scopesKept = await scopes();
  let words = 0;

  const drill: Drill = {
    server,
    destination,
    configuration: includes ? '/etc/ssh/sshd_config.d/00-revtun.conf' : '/etc/ssh/sshd_config',
    revtun: (args) => cutAfterSteps(Infinity, () => undefined, args),
    cutAfter: async (steps, cut, args) => {
      const ended = await cutAfterSteps(steps, (pid) => {
        if (cut === 'connection') return server.succeed(['sh', '-c', KILL_OTHERS, 'sh', ...kept]);
        if (cut === 'network') return server.blackhole();
        return admin.run(['kill', `-${cut.slice(3)}`, pid]);
      }, args);
      // What it had begun there may still be on its way.
      if (cut !== 'network') await waitFor(async () => (await scopes()) <= scopesKept, { what: 'its sessions to end', timeoutMs: 15_000 });
      return ended;
    },
    noticeLoss: async () => void (await server.succeed(['sh', '-c', KILL_OTHERS, 'sh', ...kept])),
    expectLogins: async () => {
      const fresh = await admin.run([...SSH, destination, 'echo in']);
      expect([fresh.stdout, fresh.code, fresh.stderr]).toEqual(['in\n', 0, '']);
      words += 1;
      await echo(`still there ${words}`);
    },
    sshd: async () => {
      const [effective = '', unread = ''] = (await server.succeed(['sh', '-c', LOOK])).split('==\n');
      return { effective, unread };
    },
    isArmed: async () => (await server.run(['systemctl', 'is-active', '--quiet', 'revtun-restore.timer'])).code === 0,
    fireTimer: async () => {
      await server.succeed(['systemctl', 'start', 'revtun-restore.service']);
      await waitFor(async () => (await server.run(['systemctl', 'is-active', '--quiet', 'revtun-restore.service'])).code !== 0, { what: 'the timer', timeoutMs: 10_000 });
    },
    traces: () => server.succeed(['sh', '-c', TRACES]),
    snapshot: () => server.snapshot(),
    expectState: async (effective, before) => {
      await drill.expectLogins();
      expect(await drill.sshd()).toEqual({ effective, unread: '' });
      expect(await drill.traces()).toBe('');
      if (before) expect(withoutBackups(diffSnapshots(before, server.snapshot()))).toEqual(UNCHANGED);
    },
    close: async () => {
      standing.signal('SIGKILL');
      await standing.exited;
    },
  };
  return drill;

  async function cutAfterSteps(steps: number, cut: (pid: string) => unknown, args: readonly string[]): Promise<Ended> {
    // A shell tells its own pid and becomes the program: a signal has to reach it inside the host.
    const { child, exited } = admin.spawn(['sh', '-c', 'echo $$; exec "$@"', 'sh', process.execPath, CLI, 'server', ...args, destination, '--yes']);
    let [stdout, stderr] = ['', ''];
    let cutting: unknown;
    const done = () => [...stdout.matchAll(/^✔ (.*)$/gm)].map(([, title = '']) => title);
    child.stdin?.end();
    child.stderr?.on('data', (chunk: Buffer) => (stderr += String(chunk)));
    child.stdout?.on('data', (chunk: Buffer) => {
      stdout += String(chunk);
      if (done().length >= steps) cutting ??= cut(stdout.split('\n')[0]!);
    });
    const code = await exited;
    await cutting;
    return { code, stdout: stdout.replace(/^.*\n/, ''), stderr, done: done() };
  }
}

/** Says a line over a session, and waits until it is said back. */
function listenTo({ child }: Running): (word: string) => Promise<void> {
  let heard = '';
  child.stdout?.on('data', (chunk: Buffer) => (heard += String(chunk)));
  return async (word) => {
    child.stdin?.write(`${word}\n`);
    await waitFor(() => heard.includes(`${word}\n`), { what: `the session to say "${word}"`, timeoutMs: 20_000 });
  };
}
