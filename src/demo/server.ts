import { join } from 'node:path';
import { fingerprint } from '../checks/hostKey.ts';
import { generateKey } from '../checks/key.ts';
import { failed } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { startInBackground } from './background.ts';
import { freePort } from './ports.ts';
import { waitFor } from './waitFor.ts';

/** A throwaway sshd on loopback, which plays the tunnel host. */
export interface Server {
  readonly port: number;
  /** The only one who can log in, with a key alone. */
  readonly user: string;
  /** SHA256:… of its host key. */
  readonly fingerprint: string;
  readonly folder: string;
  authorize(line: string): Promise<void>;
  /** Its log so far. */
  said(): string;
}

/**
 * Runs the server for as long as the work takes.
 * @throws ExpectedError when this machine has no sshd, or it does not start
 */
export async function withServer<T>(machine: Machine, who: Identity, work: (server: Server) => Promise<T>): Promise<T> {
  const sshd = await findSshd(machine);
  const account = await accountFor(machine, who);
  const folder = await machine.temporaryDirectory();
  try {
    const [hostKey, port] = [await generateKey(machine, folder, 'revtun-setup demo'), await freePort()];
    const config = join(folder, 'sshd_config');
    const authorizedKeys = join(folder, 'authorized_keys');
    await machine.write(config, sshdConfig({ port, hostKey: hostKey.path, authorizedKeys, user: account.user }), 0o644);
    if (account.owner !== undefined) await machine.run(['chown', '-R', account.owner, folder]);
    const running = startInBackground(machine, [sshd, '-D', '-e', '-f', config], {}, account.setpriv);
    try {
      const listens = () => /^Server listening on /m.test(running.said());
      await waitFor(async () => listens() || running.hasEnded(), 5000);
      if (!listens()) throw failed('sshd-failed', `${sshd} does not start: ${running.said().trim() || 'it says nothing'}`);
      const [type = '', blob = ''] = hostKey.publicKey.split(' ');
      return await work({
        port, folder, user: account.user, fingerprint: fingerprint({ type, blob }),
        authorize: (line) => machine.write(authorizedKeys, `${line}\n`, 0o644),
        said: () => running.said(),
      });
    } finally {
      await running.stop();
    }
  } finally {
    await machine.removeTree(folder);
  }
}

/** sshd starts itself again for each connection, and insists on being called by its full path. */
async function findSshd(machine: Machine): Promise<string> {
  for (const path of ['/usr/sbin/sshd', '/usr/bin/sshd', '/usr/local/sbin/sshd']) {
    if (await machine.stat(path)) return path;
  }
  throw failed('no-sshd', 'There is no sshd on this machine, and the demo starts one of its own to play the server.', 'Install it: apt-get install openssh-server');
}

/** The account that sshd's own unprivileged half runs as. (To sshd, "nobody" is locked where nss-systemd answers for it.) */
const UNPRIVILEGED = 'sshd';

interface Account {
  readonly user: string;
  /** As setpriv(1) has it. */
  readonly setpriv: readonly string[];
  /** Who has to own the files; undefined: whoever writes them. */
  readonly owner?: string;
}

/**
 * An sshd that is not root's lets in nobody but the user that it runs as, and needs no folder in /run. So even root
 * opens no way to root, not for a second.
 */
async function accountFor(machine: Machine, who: Identity): Promise<Account> {
  if (who.uid !== 0) return { user: who.userName, setpriv: [] };
  const [, , uid, gid] = (await machine.run(['getent', 'passwd', UNPRIVILEGED])).stdout.split(':');
  if (uid === undefined || gid === undefined) throw failed('no-sshd-user', `There is no user "${UNPRIVILEGED}" on this machine, whom the demo runs its ssh server as.`, 'Run it as an ordinary user.');
  return { user: UNPRIVILEGED, owner: `${uid}:${gid}`, setpriv: ['--reuid', uid, '--regid', gid, '--clear-groups'] };
}

function sshdConfig({ port, hostKey, authorizedKeys, user }: { port: number; hostKey: string; authorizedKeys: string; user: string }): string {
  return `ListenAddress 127.0.0.1:${port}
HostKey "${hostKey}"
AuthorizedKeysFile "${authorizedKeys}"
AllowUsers ${user}
AuthenticationMethods publickey
ForceCommand /bin/false
StrictModes no
UsePAM no
PidFile none
`;
}
