import { constants } from 'node:os';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ChildProcess } from 'node:child_process';
import { bannerSetup } from './banner.ts';
import { insideCgroup } from './cgroup.ts';
import { execute, spawnRunning, start, type Result, type RunOptions, type Running } from './child.ts';
import type { Disk } from './disk.ts';
import type { Addresses, Family, Network } from './network.ts';
import { repositoryRoot } from './paths.ts';
import { childrenOf, signalProcess } from './processTree.ts';
import type { Sandbox } from './sandbox.ts';
import { takeSnapshot, type Snapshot } from './snapshot.ts';
import { openTerminal, type Terminal, type TerminalOptions } from './terminal.ts';
import { waitFor } from './waitFor.ts';

export type HostRunOptions = RunOptions & {
  /**
   * Logs this user in for the command, through PAM: HOME, XDG_RUNTIME_DIR and a user manager are there as after an ssh login.
   * Without it the command runs as root with a bare environment and no session.
   */
  user?: string;
};

/** A machine with systemd as pid 1 and an sshd on port 22. */
export type Host = Addresses & {
  name: string;
  /** The name other hosts know it by (only public hosts): `<name>.test`; `<name>4.test` and `<name>6.test` for one family. */
  address: string;

  run: (argv: readonly string[], options?: HostRunOptions) => Promise<Result>;
  /** Runs a command that has to succeed; returns what it printed. */
  succeed: (argv: readonly string[], options?: HostRunOptions) => Promise<string>;
  /** Starts an interactive command: its stdin, stdout and stderr are pipes. */
  spawn: (argv: readonly string[], options?: HostRunOptions) => Running;
  /** Logs a user in (root unless told otherwise) and runs a command in a pseudo-terminal. */
  terminal: (options: TerminalOptions & { user?: string }) => Promise<Terminal>;
  /** The argv by which this machine runs a command on the host. */
  enter: (argv: readonly string[], options?: Omit<HostRunOptions, 'input' | 'timeoutMs'>) => string[];

  readFile: (path: string) => Promise<string>;
  /** Writes a file, whole; makes its folders. Root's and 0644 unless told otherwise. */
  writeFile: (path: string, text: string, options?: { mode?: number; owner?: string }) => Promise<void>;
  /**
   * Where this machine finds a path of the host's disk, powered on or off. (/tmp and /run are not on the disk.)
   * Do not write through it where an absolute symbolic link may lie on the way: it would lead out of the host.
   */
  rootPath: (path: string) => string;
  snapshot: (paths?: readonly string[]) => Snapshot;

  /** Waits until systemd has started what it should; resolves to 'running' or 'degraded'. */
  waitBooted: (timeoutMs?: number) => Promise<string>;
  isOn: () => boolean;
  reboot: () => Promise<void>;
  /** Shuts down in an orderly way and stays off. */
  powerOff: () => Promise<void>;
  /** From one moment to the next: no packet gets out any more, and no program gets to do anything. */
  powerCut: () => Promise<void>;
  /** Boots from the same disk after a powerOff or a powerCut. */
  powerOn: () => Promise<void>;
  /** All that systemd and its units have written to the console, of all boots. */
  console: () => string;

  blackhole: (family?: Family) => Promise<void>;
  dropTo: (port: number) => Promise<void>;
  unplug: () => Promise<void>;
  plug: () => Promise<void>;
  /** Ends all network faults of this host. */
  heal: () => Promise<void>;
  /** Its home router gets another address; resolves to that. */
  renat: () => Promise<string>;

  authorizeKey: (user: string, publicKeyLine: string) => Promise<void>;
  /** Sets this host's additions to sshd_config, and restarts sshd. */
  sshdConfig: (text: string) => Promise<void>;
  /** SHA256:… of its ed25519 host key. */
  hostKeyFingerprint: () => Promise<string>;
  /** A line for known_hosts: `[host]:port` is written if the port is not 22. */
  knownHostsLine: (name?: string, port?: number) => Promise<string>;
  /** A TCP server (IPv4 and IPv6, all addresses) which answers every connection with a line; it comes back at every boot. */
  bannerServer: (port: number, text: string) => Promise<void>;
};

export type HostParts = { name: string; sandbox: Sandbox; network: Network; disk: Disk };

/** What systemd-nspawn exits with when the machine inside wants to boot again. */
const rebootExitCode = 133;

const bareEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  USER: 'root',
  LOGNAME: 'root',
  SHELL: '/bin/bash',
  LANG: 'C.UTF-8',
};

/** Makes a host of a disk and a place in the network. It is off: `powerOn` boots it. */
export function makeHost({ name, sandbox, network, disk }: HostParts): Host {
  const cgroup = sandbox.cgroup(name);
  let machine: Machine | undefined;
  let consoleText = '';

  const boot = async (namespaceFile: string) => {
    // Without a cgroup of its own for each, one host's systemd would clear away the other's.
    const argv = insideCgroup(cgroup, sandbox.enter(nspawn(name, disk, namespaceFile)));
    machine = await startMachine(argv, (text) => {
      consoleText += text;
    });
  };
  const running = () => {
    if (!machine) throw new Error(`${name} is off`);
    return machine;
  };

  const enter = (argv: readonly string[], { user, env = {}, cwd }: HostRunOptions = {}, login = loginWithoutTerminal) => {
    const settings = Object.entries(env).map(([key, value]) => `${key}=${value}`);
    // A leaf beside systemd's own units: logind must be able to move a session out of it.
    const commands = sandbox.cgroup(`${name}/payload/lab`);
    const inside = ['nsenter', '-t', String(running().init), '-a', '--'];
    const there = ['env', ...(cwd === undefined ? [] : ['-C', cwd]), ...settings, ...argv];
    if (user === undefined) {
      const bare = Object.entries(bareEnvironment).map(([key, value]) => `${key}=${value}`);
      return insideCgroup(commands, [...inside, 'env', '-i', ...bare, ...there]);
    }
    return insideCgroup(commands, [...inside, ...login(user), ...there]);
  };
  const run: Host['run'] = (argv, options = {}) => {
    const { env: _env, cwd: _cwd, user: _user, ...rest } = options;
    return execute(enter(argv, options), rest, `${argv.join(' ')} (on ${name})`);
  };
  const succeed: Host['succeed'] = async (argv, options) => {
    const { code, stdout, stderr } = await run(argv, options);
    if (code !== 0) throw new Error(`exit code ${code} on ${name}: ${argv.join(' ')}\n${stdout}${stderr}`);
    return stdout;
  };
  /** As root, also while the host is off: then only its disk is there. */
  const onDisk = async (argv: readonly string[], input?: string) => {
    const options = input === undefined ? {} : { input };
    return machine ? await succeed(argv, options) : await sandbox.succeed(['chroot', disk.mountPoint, ...argv], options);
  };
  const writeFile: Host['writeFile'] = async (path, text, { mode = 0o644, owner = 'root' } = {}) => {
    await onDisk(['sh', '-c', writeScript, 'sh', path, mode.toString(8), owner], text);
  };
  const waitBooted: Host['waitBooted'] = async (timeoutMs = 90_000) => {
    const { stdout } = await waitFor(
      async () => {
        const result = await run(['systemctl', 'is-system-running', '--wait'], { timeoutMs });
        return ['running', 'degraded'].includes(result.stdout.trim()) && result;
      },
      { timeoutMs, everyMs: 20, what: `${name} to boot` },
    );
    return stdout.trim();
  };
  const powerOn: Host['powerOn'] = async () => {
    if (machine) throw new Error(`${name} is on already`);
    await boot(await network.attach(name));
    await waitBooted();
  };
  const publicKey = async () => {
    const [type, key] = (await onDisk(['cat', '/etc/ssh/ssh_host_ed25519_key.pub'])).split(' ');
    return `${type} ${key?.trim()}`;
  };

  return {
    name,
    address: `${name}.test`,
    ...network.addressesOf(name),
    enter: (argv, options) => enter(argv, options),
    run,
    succeed,
    spawn: (argv, options) => spawnRunning(enter(argv, options)),
    terminal: ({ argv, env, cwd, user = 'root', ...size }) => {
      const settings = { env: { TERM: 'screen-256color', ...env }, user, ...(cwd === undefined ? {} : { cwd }) };
      return openTerminal({ ...size, argv: enter(argv, settings, loginInTerminal) });
    },
    readFile: (path) => onDisk(['cat', path]),
    writeFile,
    rootPath: (path) => join(disk.merged, path),
    snapshot: (paths) => takeSnapshot(disk, paths),
    waitBooted,
    isOn: () => machine !== undefined,
    reboot: async () => {
      const old = running();
      await run(['systemctl', 'reboot']);
      const code = await old.ended;
      if (code !== rebootExitCode) throw new Error(`${name} did not reboot: exit code ${code}\n${consoleText}`);
      await boot(`/run/netns/${name}`);
      await waitBooted();
    },
    powerOff: async () => {
      const old = running();
      await run(['systemctl', 'poweroff']);
      await old.ended;
      machine = undefined;
      await network.cut(name);
      await network.remove(name);
    },
    powerCut: async () => {
      const old = running();
      machine = undefined;
      // First the cable: a dying process's kernel would say goodbye for it, and the server would free its port at once.
      await network.cut(name);
      signalProcess(old.init, 'SIGKILL');
      await old.ended;
      await network.remove(name);
    },
    powerOn,
    console: () => consoleText,
    blackhole: (family) => network.blackhole(name, family),
    dropTo: (port) => network.dropTo(name, port),
    unplug: () => network.unplug(name),
    plug: () => network.plug(name),
    heal: () => network.heal(name),
    renat: () => network.renat(name),
    authorizeKey: async (user, publicKeyLine) => {
      await onDisk(['sh', '-c', authorizeScript, 'sh', user, publicKeyLine.trim()]);
    },
    sshdConfig: async (text) => {
      await writeFile('/etc/ssh/sshd_config.d/50-lab.conf', text);
      await succeed(['install', '-d', '/run/sshd']);
      await succeed(['sshd', '-t']);
      // Tests change it more often than systemd lets a service restart.
      await succeed(['systemctl', 'reset-failed', 'ssh.service']);
      await succeed(['systemctl', 'restart', 'ssh.service']);
    },
    hostKeyFingerprint: async () => {
      const listing = await onDisk(['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']);
      return listing.split(' ')[1] ?? '';
    },
    knownHostsLine: async (as = `${name}.test`, port = 22) => {
      return `${port === 22 ? as : `[${as}]:${port}`} ${await publicKey()}\n`;
    },
    bannerServer: async (port, text) => {
      const { files, unit } = bannerSetup(port, text);
      for (const [path, content] of Object.entries(files)) await writeFile(path, content);
      await succeed(['systemctl', 'enable', '--now', '--quiet', unit]);
    },
  };
}

const writeScript = 'mkdir -p "$(dirname "$1")" && cat > "$1" && chmod "$2" "$1" && chown "$3" "$1"';

const authorizeScript = `
set -e
home=$(getent passwd "$1" | cut -d: -f6)
install -d -m 700 -o "$1" "$home/.ssh"
printf '%s\\n' "$2" >> "$home/.ssh/authorized_keys"
chmod 600 "$home/.ssh/authorized_keys"
chown "$1" "$home/.ssh/authorized_keys"
`;

/** An argv which logs a user in through PAM and runs the words that follow it. */
function loginWithoutTerminal(user: string): string[] {
  return ['su', '--login', '--session-command', 'exec "$@"', '--', user, 'lab'];
}

/** As above, with a terminal of the host's own: the one we have outside has no name inside. */
function loginInTerminal(user: string): string[] {
  return ['su', '--pty', '--login', '--session-command', 'exec "$@"', '--', user, 'lab'];
}

function nspawn(name: string, disk: Disk, namespaceFile: string): string[] {
  const shared = [repositoryRoot, process.execPath];
  return [
    'env',
    'SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1',
    'systemd-nspawn',
    '--quiet',
    `--directory=${disk.mountPoint}`,
    `--machine=${name}`,
    '--register=no',
    '--keep-unit',
    `--network-namespace-path=${namespaceFile}`,
    '--resolv-conf=off',
    '--timezone=off',
    '--link-journal=no',
    '--console=read-only',
    ...shared.map((path) => `--bind-ro=${path}`),
    ...(onDefaultPath(process.execPath) ? [] : [`--bind-ro=${process.execPath}:/usr/local/bin/node`]),
    '--boot',
  ];
}

function onDefaultPath(program: string): boolean {
  return ['/usr/bin/node', '/usr/local/bin/node', '/bin/node'].includes(program);
}

/** A booted systemd: its pid as this machine sees it, and the exit code of what runs it. */
type Machine = { init: number; ended: Promise<number> };

async function startMachine(argv: readonly string[], onConsole: (text: string) => void): Promise<Machine> {
  const outer: ChildProcess = start(argv, ['ignore', 'pipe', 'pipe']);
  outer.stdout?.on('data', (chunk: Buffer) => { onConsole(chunk.toString('utf8')); });
  outer.stderr?.on('data', (chunk: Buffer) => { onConsole(chunk.toString('utf8')); });
  let exitCode: number | undefined;
  const ended = new Promise<number>((resolve) => {
    outer.once('exit', (code, signal) => {
      exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      resolve(exitCode);
    });
  });
  const init = await waitFor(
    () => {
      if (exitCode !== undefined) return -1;
      // nsenter has forked systemd-nspawn, and that one systemd
      const [container] = childrenOf(outer.pid ?? 0);
      return childrenOf(container ?? 0).find(isInit);
    },
    { timeoutMs: 10_000, everyMs: 10, what: 'systemd to start' },
  );
  if (init === -1) throw new Error(`systemd-nspawn ended with exit code ${exitCode}`);
  return { init, ended };
}

/** Whether a process is pid 1 of its own pid namespace and already takes commands. */
function isInit(pid: number): boolean {
  try {
    const ids = /^NSpid:\t(.*)$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]?.split('\t') ?? [];
    return ids.at(-1) === '1' && existsSync(`/proc/${pid}/root/run/systemd/private`);
  } catch {
    return false;
  }
}
