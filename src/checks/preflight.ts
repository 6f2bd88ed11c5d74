import { dirname } from 'node:path';
import { ExpectedError, ExitCode, failed, refused, usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import { commandLine } from '../shell.ts';
import { formatForward, FORWARD_FLAG } from '../tunnel/forward.ts';
import { SSH } from '../tunnel/ssh.ts';
import { AES_GCM_FIRST, risksOf, type Risk, type Scope, type Tunnel } from '../tunnel/tunnel.ts';
import type { Facts } from './facts.ts';

/** The oldest that have LoadCredential= and the sandbox, and that the tests run on (Debian 11). */
const OLDEST = { systemd: 247, ssh: 8.4 } as const;

/**
 * Refuses a machine that cannot carry a tunnel of this scope.
 * @param command what the user typed, to print it again with sudo
 * @throws ExpectedError
 */
export function requireMachine(facts: Facts, scope: Scope, command: readonly string[]): void {
  requireSsh(facts);
  requireSystemd(facts);
  requireCaller(facts, scope, command);
  requireManager(facts, scope);
}

/** @throws ExpectedError `no-ssh`, `ssh-too-old` */
export function requireSsh({ ssh }: Facts): void {
  if (ssh === undefined) throw failed('no-ssh', 'There is no OpenSSH client (/usr/bin/ssh) on this machine.', 'Install it: apt-get install openssh-client');
  if (ssh.version < OLDEST.ssh) {
    throw failed('ssh-too-old', `${ssh.text} is too old: a tunnel needs OpenSSH ${OLDEST.ssh} or newer, to find its key through an environment variable.`, 'Upgrade OpenSSH.');
  }
}

/** @throws ExpectedError `no-systemd`, `systemd-too-old` */
export function requireSystemd({ systemd }: Facts): void {
  if (systemd === undefined) throw failed('no-systemd', 'There is no systemd on this machine, and a tunnel is a systemd service.', 'revtun-setup render prints the files all the same.');
  if (systemd < OLDEST.systemd) {
    throw failed('systemd-too-old', `systemd ${systemd} is too old: a tunnel needs ${OLDEST.systemd} or newer, for LoadCredential= and its sandbox.`, 'Upgrade the system; Debian 11, Ubuntu 22.04 and RHEL 9 are new enough.');
  }
}

/** Refuses whoever may not change services of this scope. @throws ExpectedError `not-root`, `sudo-user-scope`, `home-path` */
function requireCaller({ who }: Facts, scope: Scope, command: readonly string[]): void {
  if (scope === 'system' && who.uid !== 0) {
    throw failed('not-root', 'A service of the system needs root.', `Type:\n  ${commandLine(['sudo', ...command])}\nor install it for your user alone with --scope user.`);
  }
  if (scope === 'user' && who.sudoUser !== undefined) {
    throw failed('sudo-user-scope', `This would install for root's user manager, not for ${who.sudoUser}'s.`, 'Run the same command without sudo.');
  }
  // They would need another quoting in each of the places where the path stands, and some know none.
  if (scope === 'user' && /["%$:\\\s]/.test(who.home)) {
    throw failed('home-path', `The path of this home, ${who.home}, cannot stand in a user unit: it holds one of " % $ : \\ or a blank.`, 'Install it for the system, with sudo.');
  }
}

/** @throws ExpectedError `no-manager` */
export function requireManager({ managers, who }: Facts, scope: Scope): void {
  if (managers[scope]) return;
  throw failed(
    'no-manager',
    scope === 'system' ? 'systemd is installed, but does not run this machine (is this a container?).' : `No systemd user manager runs for ${who.userName}.`,
    scope === 'system' ? 'revtun-setup demo and render work without it.' : `Log in as ${who.userName} (not with su), or: sudo loginctl enable-linger ${who.userName}`,
  );
}

/** Refuses a cipher list that this ssh does not know, by asking it. @throws ExpectedError */
export async function requireCiphers(machine: Machine, { ciphers }: Tunnel): Promise<void> {
  if (ciphers === 'default' || ciphers === AES_GCM_FIRST) return;
  const { code, stderr } = await machine.run([SSH, '-F', 'none', '-G', '-o', `Ciphers=${ciphers}`, '--', 'localhost'], { timeoutMs: 10_000 });
  if (code !== 0) throw usage(`--cipher: this ssh does not know ${ciphers}: ${stderr.trim()}`, 'See: ssh -Q cipher');
}

/** Refuses what must be meant by name. @throws ExpectedError naming every risk and its flag */
export function requireRisksAccepted(tunnel: Tunnel, accepted: readonly Risk[]): void {
  const open = risksOf(tunnel).filter(({ risk }) => !accepted.includes(risk));
  if (open.length === 0) return;
  throw new ExpectedError(
    ExitCode.usage, 'risk',
    open.map(({ why }) => why).join('\n'),
    `If that is what you want, add ${[...new Set(open.map(({ risk }) => `--accept-risk=${risk}`))].join(' ')}`,
  );
}

/**
 * Refuses -L and -D whose port or socket is taken on this machine.
 * @param held forwards that the installed tunnel of this name holds itself
 */
export async function requireLocalPortsFree(machine: Machine, tunnel: Tunnel, held: Tunnel | undefined): Promise<void> {
  const own = new Set(held?.forwards.map(formatForward));
  for (const forward of tunnel.forwards) {
    if (forward.kind === 'remote' || own.has(formatForward(forward))) continue;
    const { listen } = forward;
    const spec = `${FORWARD_FLAG[forward.kind]} ${formatForward(forward)}`;
    if ('path' in listen) {
      const directory = dirname(listen.path);
      if (directory === '/' || (await machine.stat(directory))?.kind !== 'directory') {
        throw refused('socket-directory', `${spec}: the socket needs a directory of its own that is there.`, `Make one that the service may write to and that outlives a reboot, for example: mkdir -m 1777 /var/lib/revtun-${tunnel.name}`);
      }
      if (/^\/(var\/)?tmp\//.test(listen.path)) throw refused('private-tmp', `${spec}: the service has a /tmp of its own, so nobody else would find the socket there.`, 'Choose a directory that outlives a reboot, such as /var/lib/revtun-NAME.');
      // ssh leaves its socket behind when it ends, and takes it over again (StreamLocalBindUnlink).
      const there = await machine.stat(listen.path);
      const isDead = there?.kind === 'socket' && (await machine.dial({ path: listen.path }, 1000)).outcome === 'refused';
      if (there && !isDead) throw failed('port-in-use-here', `${spec}: ${listen.path} exists already.`, 'Choose another path, or remove it.');
      continue;
    }
    const host = listen.host === undefined || listen.host === '*' ? 'localhost' : listen.host;
    if ((await machine.dial({ host, port: listen.port }, 1000)).outcome === 'connected') {
      throw failed('port-in-use-here', `${spec}: something on this machine listens on port ${listen.port} already.`, 'Choose another port, or stop that program (see: ss -ltnp).');
    }
  }
}
