import { CLIENT, destinationOf, exists, freshMark, OTHER, PASSWORD, sessionsOf, ssh, type Target, whileConnected, withStolenKey } from './attackTargets.ts';
import { firstLine } from './world.ts';

/** What somebody with a device's stolen key may try. */
export interface Attack {
  readonly name: string;
  /** Whether it did what it is after, seen where that shows and not by an exit code. */
  readonly succeeds: (at: Target) => Promise<boolean>;
  /** The account with which it does succeed, which shows that it can; left out where no account of any kind allows it. */
  readonly hole?: 'plain' | 'free';
  /** The promised port has to be free for it. */
  readonly offline?: boolean;
}

/** What a service says that only the servers themselves should reach, at port 8080 of each. */
export const SECRET = 'not for devices';

// ---- commands

const commands: Attack[] = [
  { name: 'a shell', hole: 'plain', succeeds: (at) => leavesMark(at, 'shell', (mark) => ssh(at, ['-T'], [], { input: `touch ${mark}\n` })) },
  { name: 'a command', hole: 'plain', succeeds: (at) => leavesMark(at, 'command', (mark) => ssh(at, ['-T'], ['touch', mark])) },
  { name: 'sftp', hole: 'plain', succeeds: (at) => leavesMark(at, 'sftp', (mark) => copy(at, 'sftp', ['-b', '-'], '', `put /etc/hostname ${mark}\n`)) },
  { name: 'scp', hole: 'plain', succeeds: (at) => leavesMark(at, 'scp', (mark) => copy(at, 'scp', ['/etc/hostname'], `:${mark}`)) },
  { name: 'scp by its old protocol', hole: 'plain', succeeds: (at) => leavesMark(at, 'rcp', (mark) => copy(at, 'scp', ['-O', '/etc/hostname'], `:${mark}`)) },
  {
    name: 'the user rc', hole: 'free',
    succeeds: (at) => leavesMark(at, 'rc', async (mark) => {
      const folder = at.kind === 'device' ? '/.ssh' : `/home/${at.account}/.ssh`;
      await at.server.writeFile(`${folder}/rc`, `touch ${mark}\n`);
      await ssh(at, ['-T'], ['true']);
      await at.server.succeed(['rm', `${folder}/rc`]);
    }),
  },
  { name: 'a pty', hole: 'free', succeeds: (at) => sessionHas(at, /^SSH_TTY=/m, ['-tt']) },
  { name: 'an agent', hole: 'free', succeeds: (at) => sessionHas(at, /^SSH_AUTH_SOCK=/m, ['-A'], { SSH_AUTH_SOCK: '/run/agent.sock' }) },
  { name: 'X11', hole: 'free', succeeds: (at) => sessionHas(at, /^DISPLAY=/m, ['-Y'], { DISPLAY: '127.0.0.1:9' }) },
  {
    name: 'environment', hole: 'plain',
    succeeds: (at) => sessionHas(at, /^(LANG|LC_ALL|LD_PRELOAD|BASH_ENV)=attack$/m, ['-o', 'SendEnv=LANG LC_*', '-o', 'SetEnv=LD_PRELOAD=attack BASH_ENV=attack'], { LANG: 'attack', LC_ALL: 'attack' }),
  },
  { name: 'a second session in a connection', hole: 'plain', succeeds: async (at) => (await sessionsAtOnce(at, 2)) > 1 },
  { name: 'a flood of sessions in a connection', hole: 'plain', succeeds: async (at) => (await sessionsAtOnce(at, 12)) > 1 },
];

async function leavesMark(at: Target, name: string, attack: (mark: string) => Promise<unknown>): Promise<boolean> {
  const mark = await freshMark(at, name);
  await attack(mark);
  return exists(at.server, mark);
}

/** sftp or scp: `before` stands before the destination, `path` belongs to it. */
const copy = (at: Target, program: 'sftp' | 'scp', before: readonly string[], path = '', input = '') =>
  at.attacker.run(['timeout', '4', program, ...withStolenKey, ...before, destinationOf(at) + path], { input });

/** Whether the environment of a session shows something. */
async function sessionHas(at: Target, what: RegExp, args: readonly string[], env: Record<string, string> = {}): Promise<boolean> {
  const sessions = await sessionsOf(at, 0, (command) => ssh(at, args, [command], { env }));
  if (sessions.length !== 1) throw new Error(`${sessions.length} sessions instead of one`);
  return what.test(sessions[0]!);
}

/** How many of so many sessions of a connection ran at the same time. */
async function sessionsAtOnce(at: Target, wanted: number): Promise<number> {
  const script = `
    socket=/run/mux-$1; number=$2; shift 2
    ssh -M -S "$socket" -fN "$@" || exit
    # Without the proxy, ssh would make a connection of its own for a session that is refused.
    while [ "$number" -gt 0 ]; do ssh -o ProxyCommand=false -S "$socket" "$@" "$COMMAND" >/dev/null 2>&1 & number=$((number - 1)); done
    sleep 1.5
    ssh -S "$socket" -O exit "$@" 2>/dev/null
    wait`;
  const args = [String(at.localPort), String(wanted), '-T', ...withStolenKey, destinationOf(at)];
  const sessions = await sessionsOf(at, 1, (command) => at.attacker.succeed(['sh', '-c', script, 'sh', ...args], { env: { COMMAND: command } }));
  if (sessions.length === 0) throw new Error('not one session came about');
  return sessions.length;
}

// ---- connections that the server makes

const connections: Attack[] = [
  { name: '-W to a service of its loopback', hole: 'plain', succeeds: (at) => reachesSecret(at, '127.0.0.1') },
  { name: '-W to the same by name', hole: 'plain', succeeds: (at) => reachesSecret(at, 'localhost') },
  { name: '-W to a service of another host', hole: 'plain', succeeds: (at) => reachesSecret(at, at.server.name === 'trixie' ? 'bookworm.test' : 'trixie.test') },
  { name: "-W to the server's port 22", hole: 'plain', succeeds: async (at) => (await ssh(at, ['-W', '127.0.0.1:22'])).stdout.startsWith('SSH-2.0-') },
  {
    name: '-L', hole: 'plain',
    succeeds: (at) => whileConnected(at, ['-L', `${at.localPort}:127.0.0.1:8080`], async () => (await firstLine(at.attacker, at.localPort)) === SECRET),
  },
  {
    name: '-L to a Unix socket', hole: 'plain',
    succeeds: (at) => whileConnected(at, ['-L', `${at.localPort}:/run/dbus/system_bus_socket`], async () => (await exchange(at, String.raw`\0AUTH\r\n`)).includes('REJECTED')),
  },
  {
    name: '-D', hole: 'plain',
    // SOCKS 4: connect, port 8080, 127.0.0.1, no name
    succeeds: (at) => whileConnected(at, ['-D', String(at.localPort)], async () => (await exchange(at, String.raw`\4\1\37\220\177\0\0\1\0`)).includes(SECRET)),
  },
  {
    name: '-W with a certificate of the server’s own authority', hole: 'free',
    succeeds: async (at) => {
      const certified = ['-o', 'BatchMode=yes', '-o', 'CertificateFile=/root/certified-cert.pub', '-i', '/root/certified'];
      const { stdout } = await at.attacker.run(['timeout', '4', 'ssh', ...CLIENT, ...certified, '-W', '127.0.0.1:8080', '--', destinationOf(at)]);
      return stdout.includes(SECRET);
    },
  },
  {
    name: 'a tun device', hole: 'free',
    succeeds: async (at) => {
      const unit = at.kind === 'device' ? 6 : 7;
      await at.server.succeed(['sh', '-c', 'chmod 666 /dev/net/tun && ip tuntap add dev "$1" mode tun user "$2"', 'sh', `tun${unit}`, at.account]);
      await at.server.succeed(['ip', 'link', 'set', `tun${unit}`, 'up']);
      return whileConnected(at, ['-w', `any:${unit}`], async () => !/NO-CARRIER/.test(await at.server.succeed(['ip', 'link', 'show', `tun${unit}`])));
    },
  },
];

const reachesSecret = async (at: Target, host: string) => (await ssh(at, ['-W', `${host}:8080`])).stdout.includes(SECRET);

/** Sends bytes, as printf writes them, to the near end of a forward; resolves to what comes back within a second. */
async function exchange(at: Target, bytes: string): Promise<string> {
  const script = 'exec 3<>"/dev/tcp/127.0.0.1/$1" || exit; printf "$2" >&3; timeout 1 cat <&3';
  return (await at.attacker.run(['bash', '-c', script, 'bash', String(at.localPort), bytes])).stdout;
}

// ---- listeners

const LOCAL = '127.0.0.1:9000';

const listeners: Attack[] = [
  { name: '-R at another port', hole: 'free', succeeds: listens(() => `127.0.0.1:22300:${LOCAL}`) },
  { name: "-R at another device's port", hole: 'free', succeeds: listens(() => `127.0.0.1:${OTHER.port}:${LOCAL}`) },
  { name: '-R at a port of the server’s choice', hole: 'free', succeeds: listens(() => `0:${LOCAL}`) },
  { name: '-R as a SOCKS proxy', hole: 'free', succeeds: listens(() => '22301') },
  { name: '-R at port 22', succeeds: listens(() => `127.0.0.2:22:${LOCAL}`) },
  { name: '-R localhost: at the promised port', hole: 'free', offline: true, succeeds: listens(({ port }) => `localhost:${port}:${LOCAL}`) },
  ...['*', '0.0.0.0', '[::]'].map((address): Attack => ({
    name: `-R ${address}: at the promised port`, hole: 'free', offline: true, succeeds: listens(({ port }) => `${address}:${port}:${LOCAL}`),
  })),
  { name: '-R at the promised port of the server’s address', hole: 'free', succeeds: listens(({ port, server }) => `${server.v4}:${port}:${LOCAL}`) },
  {
    name: '-R of a Unix socket', hole: 'plain',
    succeeds: (at) => leavesMark(at, 'socket', (mark) => whileConnected(at, ['-R', `${mark}:${LOCAL}`], async () => {})),
  },
];

/** Whether a listener more is there while the forward is asked for. */
function listens(spec: (at: Target) => string): Attack['succeeds'] {
  return async (at) => {
    const listening = async () => new Set((await at.server.succeed(['ss', '-Hltn'])).split('\n').map((line) => line.split(/\s+/)[3]));
    const before = await listening();
    return whileConnected(at, ['-R', spec(at)], async () => [...(await listening())].some((one) => !before.has(one)));
  };
}

// ---- logins

const HELLO = 'revtun-device 1';

/** What makes an account say the same as the script does. */
const helloFrom = ({ kind }: Target) => (kind === 'device' ? 'hello' : `echo ${HELLO}`);

const saysHello = async (at: Target) => (await ssh(at, ['-T'], [helloFrom(at)])).stdout.trim() === HELLO;

const logins: Attack[] = [
  { name: 'logging in as another device', succeeds: (at) => saysHello({ ...at, account: 'revtun-other' }) },
  {
    name: 'a key file that is a symbolic link', hole: 'plain',
    succeeds: (at) => withKeyFile(at, ['mv "$1" "$1.moved" && ln -s "$1.moved" "$1"', 'mv "$1.moved" "$1"']),
  },
  { name: 'a key file that the group may write', hole: 'plain', succeeds: (at) => withKeyFile(at, ['chmod g+w "$1"', 'chmod g-w "$1"']) },
  { name: 'a key file of another owner', hole: 'plain', succeeds: (at) => withKeyFile(at, ['chmod 644 "$1" && chown sync "$1"', 'chown "$2" "$1"']) },
  { name: 'a directory of key files that others may write', hole: 'plain', succeeds: (at) => withKeyFile(at, ['chmod o+w "${1%/*}"', 'chmod o-w "${1%/*}"']) },
  {
    name: 'a password', hole: 'free',
    succeeds: async (at) => {
      if (at.kind === 'device') await at.server.succeed(['usermod', '--password', PASSWORD.hash, at.account]);
      await at.attacker.writeFile('/root/askpass', `#!/bin/sh\necho ${PASSWORD.text}\n`, { mode: 0o755 });
      const env = { SSH_ASKPASS: '/root/askpass', SSH_ASKPASS_REQUIRE: 'force' };
      const { stdout } = await at.attacker.run(['timeout', '6', 'ssh', '-T', ...CLIENT, '-o', 'PubkeyAuthentication=no', '-o', 'NumberOfPasswordPrompts=1', '--', destinationOf(at), helloFrom(at)], { env });
      if (at.kind === 'device') await at.server.succeed(['usermod', '--password', '*', at.account]);
      return stdout.trim() === HELLO;
    },
  },
  {
    name: 'su, even with a password', hole: 'plain',
    succeeds: (at) => leavesMark(at, 'su', async (mark) => {
      if (at.kind === 'device') await at.server.succeed(['usermod', '--password', PASSWORD.hash, at.account]);
      await at.server.run(['setpriv', '--reuid', 'nobody', '--clear-groups', 'su', '-c', `touch ${mark}`, at.account], { input: `${PASSWORD.text}\n` });
      if (at.kind === 'device') await at.server.succeed(['usermod', '--password', '*', at.account]);
    }),
  },
];

/** Whether one gets in while something is wrong with the key file. */
async function withKeyFile(at: Target, [spoil, mend]: readonly [string, string]): Promise<boolean> {
  await at.server.succeed(['sh', '-c', spoil, 'sh', at.keyFile]);
  try {
    return await saysHello(at);
  } finally {
    await at.server.succeed(['sh', '-c', mend, 'sh', at.keyFile, at.kind === 'device' ? 'root' : at.account]);
  }
}

export const ATTACKS: readonly Attack[] = [...commands, ...connections, ...listeners, ...logins];
