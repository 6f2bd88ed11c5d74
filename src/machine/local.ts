import { connect } from 'node:net';
import { homedir, tmpdir, userInfo } from 'node:os';
import { dirname, join } from 'node:path';
import { execa } from 'execa';
import fs from 'fs-extra';
import { failed } from '../errors.ts';
import type { DialResult, DialTarget, FileStat, Identity, Machine, RunOptions, RunResult } from './machine.ts';

/** This machine. */
export const local: Machine = {
  run,
  runAttached,
  read: (path) => absentAs(undefined, readRegular(path), HAS_ENDED),
  stat: (path) => absentAs(undefined, fs.lstat(path).then(toFileStat)),
  list: (path) => absentAs([], fs.readdir(path).then((names) => names.toSorted())),
  write,
  remove: (path) => absentAs(undefined, fs.unlink(path)),
  makeDirectory,
  removeEmptyDirectory,
  temporaryDirectory,
  removeTree: (path) => fs.remove(path),
  symlink: (target, path) => fs.symlink(target, path),
  dial,
  lock,
  reconnect: () => Promise.resolve(),
};

/** The running process. Under sudo, HOME may still be the caller's: root's own is meant. */
export function whoAmI(): Identity {
  const { uid, username } = userInfo();
  const sudoUser = uid === 0 && process.env['SUDO_USER'] !== 'root' ? process.env['SUDO_USER'] : undefined;
  return {
    uid,
    userName: username,
    home: uid === 0 ? userInfo().homedir : homedir(),
    ...(sudoUser !== undefined && { sudoUser, sudoHome: homeOf(sudoUser) }),
    env: process.env,
  };
}

/** Its name tells whose it is, so that the next run finds what a killed one left. */
async function temporaryDirectory(): Promise<string> {
  const parent = memoryDirectory();
  for (const name of await fs.readdir(parent)) {
    const [, mark, pid] = /^revtun([_-])(\d+)-\w{6}$/.exec(name) ?? [];
    if (pid === undefined || (await fs.pathExists(`/proc/${pid}`))) continue;
    // Earlier versions wrote a dash, and then it can be the runtime directory of a tunnel called 2024-office.
    if (mark === '-' && !(await fs.pathExists(join(parent, name, 'ssh_config')))) continue;
    await fs.remove(join(parent, name)).catch(() => undefined);
  }
  return fs.mkdtemp(join(parent, `revtun_${process.pid}-`));
}

/** A new key may lie there for a moment: a directory in memory leaves no trace of it on a disk. */
function memoryDirectory(): string {
  if (process.getuid?.() === 0 && fs.existsSync('/run')) return '/run';
  const own = process.env['XDG_RUNTIME_DIR'] ?? '';
  // After su it may still be the caller's.
  return own !== '' && fs.statSync(own, { throwIfNoEntry: false })?.uid === process.getuid?.() ? own : tmpdir();
}

function homeOf(user: string): string {
  const line = fs.readFileSync('/etc/passwd', 'utf8').split('\n').find((entry) => entry.startsWith(`${user}:`));
  return line?.split(':')[5] ?? `/home/${user}`;
}

async function run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const [program = '', ...rest] = argv;
  const child = execa(program, rest, {
    reject: false,
    stripFinalNewline: false,
    // Messages are matched and shown: one language, whatever the caller's.
    env: { LC_ALL: 'C.UTF-8', ...options.env },
    maxBuffer: 32 * 1024 * 1024,
    ...(options.holdInput === true ? { stdin: 'pipe' } : { input: options.input ?? '' }),
    ...(options.timeoutMs !== undefined && { timeout: options.timeoutMs }),
    forceKillAfterDelay: 1000,
    ...((options.apart ?? options.withAll) === true && { detached: true }),
  });
  if (options.withAll === true) child.once('exit', () => endGroup(child.pid));
  let stopped = false;
  const stop = () => {
    stopped = true;
    child.kill();
  };
  options.signal?.addEventListener('abort', stop, { once: true });
  const { stopWhen } = options;
  if (stopWhen) {
    const said = { stdout: '', stderr: '' };
    for (const stream of ['stdout', 'stderr'] as const) {
      child[stream].on('data', (chunk: Buffer) => {
        said[stream] += String(chunk);
        if (!stopped && stopWhen(said.stderr, said.stdout)) stop();
      });
    }
  }
  const result = await child;
  options.signal?.removeEventListener('abort', stop);
  const startError = result.exitCode === undefined && result.signal === undefined && !result.timedOut ? result.shortMessage : '';
  return {
    code: result.exitCode ?? (result.signal === undefined ? 127 : 128),
    stdout: result.stdout,
    stderr: result.stderr === '' ? (startError ?? '') : result.stderr,
    timedOut: result.timedOut,
    stopped,
  };
}

/** Of a program that was started apart, whose group has its pid. */
function endGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if (codeOf(error) !== 'ESRCH') throw error;
  }
}

async function runAttached(argv: readonly string[], input?: string): Promise<number> {
  const [program = '', ...rest] = argv;
  const stdin = input === undefined ? { stdin: 'inherit' } as const : { input };
  return (await execa(program, rest, { reject: false, stdout: 'inherit', stderr: 'inherit', ...stdin })).exitCode ?? 127;
}

async function readRegular(path: string): Promise<Buffer | undefined> {
  // Opening a FIFO would wait for a writer that never comes.
  const found = await fs.stat(path);
  if (!found.isFile()) throw Object.assign(new Error(`${path} is not a regular file`), { code: 'EINVAL' });
  return fs.readFile(path);
}

function toFileStat(found: fs.Stats): FileStat {
  const kind = found.isFile() ? 'file' : found.isDirectory() ? 'directory' : found.isSymbolicLink() ? 'symlink' : found.isSocket() ? 'socket' : 'other';
  return { kind, mode: found.mode & 0o7777, uid: found.uid, gid: found.gid, size: found.size };
}

async function write(path: string, content: string | Buffer, mode: number): Promise<void> {
  const beside = join(dirname(path), `.revtun-${process.pid}.tmp`);
  await fs.remove(beside);
  try {
    const file = await fs.open(beside, 'wx', mode);
    try {
      await fs.writeFile(file, content);
      await fs.fchmod(file, mode); // the umask may have taken bits away
      await fs.fsync(file);
    } finally {
      await fs.close(file);
    }
    await fs.rename(beside, path);
  } catch (error) {
    await fs.remove(beside);
    throw error;
  }
  await syncDirectory(dirname(path));
}

/** A rename survives a power cut only when its directory was written too. */
async function syncDirectory(path: string): Promise<void> {
  const directory = await fs.open(path, 'r');
  try {
    await fs.fsync(directory);
  } finally {
    await fs.close(directory);
  }
}

async function makeDirectory(path: string, mode: number): Promise<void> {
  await fs.mkdir(path, { mode });
  await fs.chmod(path, mode);
}

async function removeEmptyDirectory(path: string): Promise<boolean> {
  try {
    await fs.rmdir(path);
    return true;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT') return true;
    if (code === 'ENOTEMPTY' || code === 'EEXIST' || code === 'ENOTDIR') return false;
    throw error;
  }
}

function dial(target: DialTarget, timeoutMs: number, firstWordsMs = timeoutMs): Promise<DialResult> {
  return new Promise((resolve) => {
    const socket = connect(target);
    let address: { host: string; port: number } | undefined;
    let isConnected = false;
    const connected = (banner: string): DialResult => ({ outcome: 'connected', banner, ...(address && { address }) });
    const finish = (result: DialResult) => {
      socket.destroy();
      resolve(result);
    };
    socket.setTimeout(timeoutMs, () => {
      finish(isConnected ? connected('') : { outcome: 'timeout', reason: 'no answer' });
    });
    socket.once('connect', () => {
      isConnected = true;
      socket.setTimeout(firstWordsMs);
      const { remoteAddress: host, remotePort: port } = socket;
      if (host !== undefined && port !== undefined) address = { host: host.replace(/%.*/, ''), port };
    });
    socket.once('data', (data: Buffer) => finish(connected(data.toString('latin1'))));
    socket.once('end', () => finish({ outcome: 'closed', reason: 'closed at once' }));
    socket.once('error', (error: NodeJS.ErrnoException) => finish({ outcome: isConnected ? 'closed' : failureOf(error), reason: error.message }));
  });
}

function failureOf({ code }: NodeJS.ErrnoException): Exclude<DialResult['outcome'], 'connected'> {
  switch (code) {
    case 'ECONNREFUSED': case 'ECONNRESET': return 'refused';
    case 'EACCES': case 'EPERM': return 'forbidden';
    case 'ETIMEDOUT': return 'timeout';
    default: return 'unreachable';
  }
}

/**
 * flock(1) holds the kernel's lock for as long as its cat can read from us: the lock goes with this process, however
 * it ends, and never has to be judged stale. Ctrl-C ends all of the terminal's foreground group, so it is in another.
 */
async function lock(path: string, onWait: () => void): Promise<() => Promise<void>> {
  const attempt = async (wait: readonly string[]) => {
    const child = execa('sh', ['-c', LOCK, 'sh', ...wait, path], { reject: false, stdin: 'pipe', detached: true });
    const held = await Promise.race([
      new Promise<boolean>((resolve) => child.stdout.once('data', () => resolve(true))),
      child.then(() => false),
    ]);
    if (!held) return undefined;
    return async () => {
      child.stdin.end();
      await child;
    };
  };
  const atOnce = await attempt(['--nonblock']);
  if (atOnce) return atOnce;
  onWait();
  const later = await attempt(['--timeout', '120']);
  if (later) return later;
  throw failed('locked', `Another revtun-setup is at work here (${path} is locked).`, 'Wait for it to end, then run this again.');
}

// Nobody else may open root's file: an open file is all that it takes to hold the lock.
const LOCK = `umask 077; exec flock "$@" sh -c 'echo held; exec cat'`;

/** What the kernel says of a file in /proc or of a control group that was open already when what it tells of ended. */
const HAS_ENDED: readonly unknown[] = ['ESRCH', 'ENODEV'];

async function absentAs<T>(value: T, work: Promise<T>, alsoAbsent: readonly unknown[] = []): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOENT' || code === 'ENOTDIR' || alsoAbsent.includes(code)) return value;
    throw error;
  }
}

// Under a test runner's own realm Node's errors are no `instanceof Error`; the code is what counts.
const codeOf = (error: unknown) => (error as NodeJS.ErrnoException | undefined)?.code;
