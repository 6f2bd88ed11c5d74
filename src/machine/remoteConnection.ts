import { randomBytes } from 'node:crypto';
import { cancelled, failed, type ExpectedError } from '../errors.ts';
import type { Machine, RunOptions, RunResult } from './machine.ts';
import { inputBefore, markedLine, plainLine, plainLineWithInput, readMarks } from './remoteLine.ts';

/** How ssh gets to a machine. */
export interface Login {
  /** What messages call the machine. */
  readonly name: string;
  /** Words for ssh that say where to: options, `--` and the destination. */
  readonly argv: readonly string[];
  /** Whose keys, agent, known_hosts and ssh_config are meant, where that is not the user we are. */
  readonly runAs?: { readonly user: string; readonly home: string };
}

export interface ConnectOptions {
  /** Whether ssh may ask for passwords and host keys on the terminal. */
  readonly interactive: boolean;
  /** An error in a person's words, of what ssh has said. */
  readonly explain: (said: string) => ExpectedError;
  /** Gets ssh's own words as they come, while a person may have to answer it. */
  readonly tell?: (words: string) => void;
  /** Gives up while the connection is being made; what is made is ended by close() alone, since work may have to be undone over it. */
  readonly signal?: AbortSignal;
}

/** Who a program there runs as, and what that takes. */
export interface Rights {
  readonly prefix: readonly string[];
  /** The same where a person sits at the terminal. */
  readonly prefixAttached: readonly string[];
  /** The first line of sudo's stdin. */
  readonly password?: string;
}

/** One login that carries everything else; it ends with us, however we end. */
export interface Connection {
  readonly name: string;
  /** The process there that lives exactly as long as the connection. */
  readonly lifeline: number;
  /** As {@link Machine.run}. @throws ExpectedError `server-lost`; {@link NotBegun} */
  run(rights: Rights, argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** As {@link Machine.runAttached}. */
  runAttached(rights: Rights, argv: readonly string[], input?: string): Promise<number>;
  /** A second login of its own. */
  reconnect(): Promise<void>;
  close(): Promise<void>;
}

/** The program did not begin, though ssh got there: what was said instead. */
export class NotBegun extends Error {
  override readonly name = 'NotBegun';
  constructor(readonly said: string) {
    super(`the login's shell or sudo would not run a command: ${said}`);
  }
}

/** Two, beside the lifeline, a lock and what ends a program: an sshd may have a MaxSessions below its usual 10. */
const AT_ONCE = 2;

/** A dead connection is noticed after 16 s (interval * (count + 1)); 12 s is ssh's limit for each answer during login. */
const OPTIONS = ['-a', '-x', '-T', ...[
  'ClearAllForwardings=yes', 'UpdateHostKeys=no', 'ControlPersist=no', 'RemoteCommand=none', 'ConnectTimeout=10', 'ServerAliveInterval=4', 'ServerAliveCountMax=3',
].flatMap((option) => ['-o', option])];

/** Milliseconds for a login at which no person can be asked. */
const LOGIN_LIMIT = 60_000;

/**
 * Logs in once, and keeps that login as the way for all that follows (ControlMaster).
 * @throws ExpectedError what `explain` makes of ssh's words
 */
export async function connect(local: Machine, login: Login, options: ConnectOptions): Promise<Connection> {
  const { name } = login;
  const folder = await socketFolder(local, login);
  const socket = `${folder.path}/c`;
  const closing = new AbortController();
  const onAbort = () => closing.abort();
  options.signal?.addEventListener('abort', onAbort, { once: true });
  if (options.signal?.aborted === true) closing.abort();

  const token = newToken();
  // The shell becomes its cat, which ends when we do: its stdin is a pipe from us.
  const lifeline = `exec sh -c 'echo "$1 $$"; exec cat' sh ${token}`;
  let onReady: (lifeline: number) => void = () => undefined;
  const ready = new Promise<number>((resolve) => {
    onReady = resolve;
  });
  const master = sshAtTerminal(local, login, options, ['-M', '-S', socket, ...OPTIONS, ...login.argv, lifeline], {
    holdInput: true,
    signal: closing.signal,
    stopWhen: (_stderr, stdout) => {
      const [, pid] = new RegExp(`${token} (\\d+)\\n`).exec(stdout) ?? [];
      if (pid !== undefined) onReady(Number(pid));
      return false;
    },
  });
  let isUp = true;
  const ended = master.then((result) => {
    isUp = false;
    return result;
  });
  const close = async () => {
    closing.abort();
    await ended;
    await folder.remove();
  };
  const limit = options.interactive ? undefined : setTimeout(onAbort, LOGIN_LIMIT);
  const outcome = await Promise.race([ready, ended]);
  clearTimeout(limit);
  options.signal?.removeEventListener('abort', onAbort);
  if (typeof outcome !== 'number' || options.signal?.aborted === true) {
    await close();
    if (typeof outcome === 'number' || options.signal?.aborted === true) throw cancelled();
    throw options.explain(outcome.stderr.trim() === '' ? outcome.stdout || 'timed out' : outcome.stderr);
  }

  // No configuration: all of it was for the login. Without a master, no second login in its stead.
  const client = ['ssh', '-F', 'none', '-S', socket, '-o', 'ProxyCommand=false'];
  const lost = () => failed('server-lost', `The connection to ${name} broke off.`, 'Check the network, then run this again.');
  const isAlive = async () => isUp && (await local.run([...client, '-O', 'check', '--', 'there'], { apart: true, timeoutMs: 20_000 })).code === 0;
  const turn = makeTurns(AT_ONCE);

  const run = async (rights: Rights, argv: readonly string[], given: RunOptions = {}): Promise<RunResult> => {
    const mark = newToken();
    const { input = '', env, holdInput = false, stopWhen, timeoutMs, signal } = given;
    const line = markedLine(rights.prefix, mark, argv, { ...(env && { env }), hold: holdInput });
    const giveUp = new AbortController();
    let group: number | undefined;
    let why: 'timedOut' | 'stopped' | undefined;
    let ending: Promise<void> | undefined;
    // To end our ssh would end nothing there, and the master would hold our pipes until it did end.
    const end = (reason: typeof why) => {
      why ??= reason;
      if (group === undefined) giveUp.abort();
      else ending ??= endGroup(rights, group).then(() => giveUp.abort());
    };
    const onAbort = () => end('stopped');
    signal?.addEventListener('abort', onAbort, { once: true });
    const timer = timeoutMs === undefined ? undefined : setTimeout(() => end('timedOut'), timeoutMs);
    const result = await local.run([...client, '-T', '--', 'there', line], {
      // Ctrl-C ends all of the terminal's foreground group, and would leave us without the outcome.
      apart: true,
      signal: giveUp.signal,
      input: `${inputBefore(mark, rights.password)}${input}`,
      stopWhen: (stderr, stdout) => {
        if (group !== undefined && !stopWhen) return false;
        const sofar = readMarks(mark, stdout, stderr);
        group = sofar.group;
        if (group !== undefined && why !== undefined) end(why);
        if (group !== undefined && stopWhen?.(sofar.stderr, sofar.stdout) === true) end('stopped');
        return false;
      },
    });
    clearTimeout(timer);
    signal?.removeEventListener('abort', onAbort);
    await ending;
    const said = readMarks(mark, result.stdout, result.stderr);
    const { stdout, stderr } = said.group === undefined ? { stdout: '', stderr: '' } : said;
    if (why !== undefined) return { code: 128, stdout, stderr, timedOut: why === 'timedOut', stopped: why === 'stopped' };
    if (said.code !== undefined) return { code: said.code, stdout, stderr, timedOut: false, stopped: false };
    if (/Session open refused by peer/.test(result.stderr)) {
      throw failed('server-sessions', `${name} allows fewer sessions in one login than this needs.`, 'Set MaxSessions to 6 or more (the default is 10) in its sshd_config.');
    }
    if (!(await isAlive())) throw lost();
    if (said.group === undefined) throw new NotBegun((result.stderr.trim() || result.stdout.trim()) || `exit code ${result.code}`);
    return { code: 128, stdout, stderr, timedOut: false, stopped: false };
  };

  const endGroup = async (rights: Rights, group: number) => {
    if (group > 1) await run(rights, ['sh', '-c', END_GROUP, 'sh', String(group)]).catch(() => undefined);
  };

  return {
    name,
    lifeline: outcome,
    run: (rights, argv, given) => (given?.apart === true || given?.signal ? run(rights, argv, given) : turn(() => run(rights, argv, given))),
    runAttached: async (rights, argv, input) => {
      const mark = newToken();
      const code = input === undefined
        ? await local.runAttached([...client, '-t', '-q', '--', 'there', plainLine(rights.prefixAttached, argv)])
        : await local.runAttached([...client, '-T', '--', 'there', plainLineWithInput(rights.prefix, mark, argv)], `${inputBefore(mark, rights.password)}${input}`);
      if (code === 255 && !(await isAlive())) throw lost();
      return code;
    },
    reconnect: async () => {
      const words = [...OPTIONS, '-o', 'ControlMaster=no', '-o', 'ControlPath=none', ...login.argv, 'true'];
      const { code, stdout, stderr, timedOut } = await sshAtTerminal(local, login, options, words, options.interactive ? {} : { timeoutMs: LOGIN_LIMIT });
      if (code !== 0) throw options.explain(timedOut ? 'timed out' : stderr.trim() || stdout.trim());
    },
    close,
  };
}

/**
 * An ssh that logs in. It asks a person on /dev/tty, so its stdin and stderr are ours. Signals of the terminal are for
 * us alone: what was begun may have to be undone over this very connection.
 */
function sshAtTerminal(local: Machine, { runAs }: Login, { interactive, tell }: ConnectOptions, words: readonly string[], options: RunOptions): Promise<RunResult> {
  const asThem = runAs === undefined ? [] : ['runuser', '-u', runAs.user, '--'];
  let told = 0;
  const { stopWhen } = options;
  return local.run(['sh', '-c', `trap '' INT QUIT HUP; exec "$@"`, 'sh', ...asThem, 'ssh', ...(interactive ? [] : ['-o', 'BatchMode=yes']), ...words], {
    ...options,
    ...(runAs && { env: { HOME: runAs.home } }),
    stopWhen: (stderr, stdout) => {
      if (interactive && stderr.length > told) tell?.(stderr.slice(told));
      told = stderr.length;
      return stopWhen?.(stderr, stdout) ?? false;
    },
  });
}

/** A private folder with a short name: a socket's path may have 107 bytes, of which ssh takes 17 for itself. */
async function socketFolder(local: Machine, { runAs }: Login): Promise<{ path: string; remove: () => Promise<void> }> {
  const own = await local.temporaryDirectory();
  const remove = () => local.removeTree(own);
  if (runAs === undefined) return { path: own, remove };
  const path = `${own}/s`;
  for (const argv of [['chmod', '711', own], ['install', '-d', '-m', '700', '-o', runAs.user, '--', path]]) {
    const { code, stderr } = await local.run(argv);
    if (code === 0) continue;
    await remove();
    throw failed('step-failed', `${argv.join(' ')}: ${stderr.trim()}`);
  }
  return { path, remove };
}

const newToken = () => `revtun-${randomBytes(9).toString('hex')}`;

const END_GROUP = 'kill -TERM -"$1"; i=0; while kill -0 -"$1" && [ $i -lt 10 ]; do sleep 0.1; i=$((i+1)); done 2> /dev/null; kill -KILL -"$1" 2> /dev/null; :';

/** Lets so many pieces of work go on at once; the others wait for their turn. */
function makeTurns(count: number): <T>(work: () => Promise<T>) => Promise<T> {
  let free = count;
  const waiting: (() => void)[] = [];
  return async (work) => {
    if (free > 0) free -= 1;
    else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else free += 1;
    }
  };
}
