import { appendFileSync, chmodSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { ChildProcess } from 'node:child_process';
import { isIPv6 } from 'node:net';
import { userInfo } from 'node:os';
import { join } from 'node:path';
import { start, tiedToUs } from './child.ts';
import { disposable } from './cleanup.ts';
import { cheapKeyExchange } from './keyExchange.ts';
import { makeKey, type Key, type KeyType } from './keys.ts';
import { freshFolder } from './paths.ts';
import { childrenOf, descendantsOf, isAlive, signalProcess } from './processTree.ts';
import { freePort, listenersOf, type Listener } from './sockets.ts';
import { waitFor } from './waitFor.ts';

export { makeKey, readKey, type Key, type KeyOptions, type KeyType } from './keys.ts';
export { bannerOnly, freePort, silentServer, type Listener, type TestServer } from './sockets.ts';

export type SshdOptions = {
  /** Lines for sshd_config; they win over our own of the same keyword. */
  config?: readonly string[];
  /** Default: ed25519 only. */
  hostKeys?: readonly KeyType[];
  /** Default: 127.0.0.1. */
  address?: string;
  port?: number;
  /** Public key lines that may log in from the beginning. */
  authorizedKeys?: readonly string[];
};

/** A real OpenSSH server of our own. */
export type Sshd = {
  address: string;
  port: number;
  /** Who can log in: the user we are. As root, any user that has a login shell can. */
  user: string;
  /** Its files: sshd_config, host keys, authorized_keys, log. */
  folder: string;
  pid: () => number;
  /** SHA256:… of the first host key. */
  hostKeyFingerprint: () => string;
  hostKeys: () => readonly Key[];
  /** Lines for known_hosts, one a host key. */
  knownHostsLines: (name?: string) => string;
  authorizedKeysPath: string;
  authorize: (publicKeyLine: string) => void;
  /** Everything it has written, at LogLevel DEBUG1. */
  log: () => string;
  /** What it listens on for its clients (ssh -R); its own port is not among them. */
  listeners: () => Listener[];
  /** How many sessions are open. */
  sessions: () => number;
  /** Hangs up all sessions, and goes on serving. */
  dropSessions: () => Promise<void>;
  /** Ends it and all its sessions. It can be started again with `restart`. */
  stop: () => Promise<void>;
  /** Ends it with all its sessions and starts it on the same port; perhaps with other host keys or other extra config lines. */
  restart: (changes?: { newHostKeys?: boolean; config?: readonly string[] }) => Promise<void>;
  /** Ends it and removes its files. */
  dispose: () => Promise<void>;
};

/** Starts an sshd on a free port. It dies with us. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const { address = '127.0.0.1', hostKeys: types = ['ed25519'], authorizedKeys = [] } = options;
  const folder = freshFolder();
  // sshd reads authorized_keys as the user who logs in
  chmodSync(folder, 0o755);
  const paths = { config: join(folder, 'sshd_config'), log: join(folder, 'log'), authorizedKeys: join(folder, 'authorized_keys') };
  writeFileSync(paths.authorizedKeys, authorizedKeys.map((line) => `${line.trim()}\n`).join(''));
  writeFileSync(paths.log, '');
  if (process.getuid?.() === 0) mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });

  const port = options.port ?? (await freePort(address));
  let extraConfig = options.config ?? [];
  let hostKeys = await makeHostKeys(folder, types);
  let server: ChildProcess | undefined;
  const log = () => readFileSync(paths.log, 'utf8');

  const startServer = async () => {
    writeFileSync(paths.config, configText({ address, port, authorizedKeysPath: paths.authorizedKeys, hostKeys, extra: extraConfig }));
    const before = log().length;
    const child = start(tiedToUs([sshdProgram(), '-D', '-f', paths.config, '-E', paths.log]), ['ignore', 'pipe', 'pipe']);
    let complaint = '';
    child.stderr?.on('data', (chunk: Buffer) => {
      complaint += chunk.toString('utf8');
    });
    server = child;
    const state = await waitFor(
      () => (hasEnded(child) ? 'ended' : log().slice(before).includes('Server listening on') && 'listening'),
      { everyMs: 10, what: 'sshd to listen' },
    );
    if (state === 'ended') throw new Error(`sshd did not start:\n${complaint}${log().slice(before)}`);
  };
  const sessionPids = () => (server?.pid === undefined ? [] : descendantsOf(server.pid));
  const stop = async () => {
    if (server?.pid === undefined) return;
    const pids = [server.pid, ...sessionPids()];
    for (const pid of pids) signalProcess(pid, 'SIGKILL');
    const child = server;
    await waitFor(() => hasEnded(child) && pids.slice(1).every((pid) => !isAlive(pid)), { everyMs: 10, what: 'sshd to end' });
    server = undefined;
  };
  const dispose = disposable(async () => {
    await stop();
    rmSync(folder, { recursive: true, force: true });
  });

  try {
    await startServer();
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    address,
    port,
    user: userInfo().username,
    folder,
    pid: () => server?.pid ?? 0,
    hostKeyFingerprint: () => hostKeys[0]?.fingerprint ?? '',
    hostKeys: () => hostKeys,
    knownHostsLines: (name = address) => {
      const place = port === 22 ? name : `[${name}]:${port}`;
      return hostKeys.map(({ publicKeyLine }) => `${place} ${publicKeyLine.trim()}\n`).join('');
    },
    authorizedKeysPath: paths.authorizedKeys,
    authorize: (publicKeyLine) => {
      appendFileSync(paths.authorizedKeys, `${publicKeyLine.trim()}\n`);
    },
    log,
    listeners: () => listenersOf(sessionPids()),
    sessions: () => (server?.pid === undefined ? 0 : childrenOf(server.pid).length),
    dropSessions: async () => {
      const pids = sessionPids();
      for (const pid of pids) signalProcess(pid, 'SIGKILL');
      await waitFor(() => pids.every((pid) => !isAlive(pid)), { everyMs: 10, what: 'sessions to end' });
    },
    stop,
    restart: async ({ newHostKeys = false, config = extraConfig } = {}) => {
      await stop();
      extraConfig = config;
      if (newHostKeys) hostKeys = await makeHostKeys(folder, types);
      await startServer();
    },
    dispose,
  };
}

function makeHostKeys(folder: string, types: readonly KeyType[]): Promise<Key[]> {
  return Promise.all(
    types.map((type) => {
      const name = `host_${type}`;
      for (const suffix of ['', '.pub']) rmSync(join(folder, name + suffix), { force: true });
      return makeKey(folder, { type, name });
    }),
  );
}

type ConfigParts = { address: string; port: number; authorizedKeysPath: string; hostKeys: readonly Key[]; extra: readonly string[] };

/** sshd takes the first value of a keyword, so a test's own lines come first; but a Match block runs to the end of the file. */
function configText({ address, port, authorizedKeysPath, hostKeys, extra }: ConfigParts): string {
  const firstMatch = extra.findIndex((line) => /^\s*match\b/i.test(line));
  const end = firstMatch === -1 ? extra.length : firstMatch;
  return [
    ...extra.slice(0, end),
    ...hostKeys.map(({ path }) => `HostKey ${path}`),
    `ListenAddress ${isIPv6(address) ? `[${address}]` : address}:${port}`,
    `AuthorizedKeysFile ${authorizedKeysPath}`,
    'StrictModes no',
    'UsePAM no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'PidFile none',
    'PrintMotd no',
    'LogLevel DEBUG1',
    'MaxStartups 1000',
    'UseDNS no',
    'Subsystem sftp internal-sftp',
    cheapKeyExchange,
    ...extra.slice(end),
    '',
  ].join('\n');
}

/** sshd insists on being called by its full path. */
function sshdProgram(): string {
  return ['/usr/sbin/sshd', '/usr/bin/sshd', '/usr/local/sbin/sshd'].find((path) => existsSync(path)) ?? '/usr/sbin/sshd';
}

function hasEnded(child: ChildProcess): boolean {
  return child.exitCode !== null || child.signalCode !== null;
}
