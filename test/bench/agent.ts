/**
 * What runs inside a lab host and measures there: no `nsenter` and no pipe between the clock and the thing measured.
 * A line of JSON in is a call of a task, a line out is its result.
 */
import { spawn } from 'node:child_process';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { isTrickling, listener, trickle, untilRecovered } from './recoveryTasks.ts';

/** Milliseconds of the machine's monotonic clock, which all hosts of a lab share (clock_gettime(2), CLOCK_MONOTONIC). */
export type Moment = number;

export interface Timing {
  readonly started: Moment;
  readonly ended: Moment;
}

const now = (): Moment => Number(process.hrtime.bigint()) / 1e6;

export interface Tasks {
  time: typeof time;
  untilUsable: typeof untilUsable;
  untilOpen: typeof untilOpen;
  untilClosed: typeof untilClosed;
  serve: typeof serve;
  receive: typeof receive;
  send: typeof send;
  listenerOf: typeof listenerOf;
  untilRecovered: typeof untilRecovered;
  trickle: typeof trickle;
  isTrickling: typeof isTrickling;
}

export interface Call {
  readonly id: number;
  readonly task: keyof Tasks;
  readonly args: readonly unknown[];
}
export interface Answer {
  readonly id: number;
  readonly result?: unknown;
  readonly error?: string;
}

/** Runs a program to its end. Rejects unless it succeeds. */
function time(argv: readonly string[]): Promise<Timing> {
  const [program = '', ...rest] = argv;
  return new Promise((resolve, reject) => {
    const started = now();
    const child = spawn(program, rest, { stdio: ['ignore', 'pipe', 'pipe'] });
    child.stdout.resume();
    let ended = started;
    let said = '';
    child.stderr.on('data', (chunk: Buffer) => (said += String(chunk)));
    child.once('exit', () => (ended = now()));
    child.once('error', reject);
    child.once('close', (code) => {
      if (code === 0) resolve({ started, ended });
      else reject(new Error(`exit code ${code}: ${argv.join(' ')}\n${said}`));
    });
  });
}

/** Milliseconds between two looks at a port, and how long a connection has to last to be more than a check's passing one. */
const [EVERY, LASTING] = [3, 150];

/** When a connection to a port of this host first got a banner and lasted. */
async function untilUsable(port: number, timeoutMs: number): Promise<Moment> {
  const deadline = now() + timeoutMs;
  while (now() < deadline) {
    const answered = await lastingBanner(port);
    if (answered !== undefined) return answered;
    await sleep(EVERY);
  }
  throw new Error(`nothing answered at port ${port} within ${timeoutMs} ms`);
}

function lastingBanner(port: number): Promise<Moment | undefined> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    const finish = (answered?: Moment) => {
      socket.destroy();
      resolve(answered);
    };
    socket.once('data', () => {
      const answered = now();
      setTimeout(() => finish(answered), LASTING);
    });
    socket.once('error', () => finish());
    socket.once('close', () => finish());
    socket.setTimeout(2000, () => finish());
  });
}

/** Resolves when something listens on a port of this host. */
const untilOpen = (port: number, timeoutMs: number) => untilState(port, true, timeoutMs);

/** Resolves when nothing listens on a port of this host any more. */
const untilClosed = (port: number, timeoutMs: number) => untilState(port, false, timeoutMs);

async function untilState(port: number, open: boolean, timeoutMs: number): Promise<void> {
  const deadline = now() + timeoutMs;
  while ((await isOpen(port)) !== open) {
    if (now() > deadline) throw new Error(`port ${port} is ${open ? 'not' : 'still'} open after ${timeoutMs} ms`);
    await sleep(EVERY);
  }
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}

/**
 * A source and sink of bytes on every address of this host: a connection says `give N` or `take N`, and a byte goes back when all
 * have been taken. dd does the work on the very socket, for Node would want a fifth of what ssh does.
 */
function serve(port: number): Promise<void> {
  const server = createServer({ pauseOnConnect: true, noDelay: true }, (socket) => {
    spawn('bash', ['-c', SERVE], { stdio: [socket, socket, 'inherit'] });
    socket.destroy(); // this process's share of it
  });
  return new Promise((resolve) => server.listen(port, '::', resolve));
}

const SERVE = `
read -r wish count
case $wish in
give) dd if=/dev/zero bs=256K count="$count" iflag=count_bytes status=none ;;
take) dd of=/dev/null bs=256K count="$count" iflag=fullblock,count_bytes status=none && printf . ;;
esac
`;

/** Milliseconds that so many bytes take from a {@link serve} to here. Rejects unless all come. */
const receive = (host: string, port: number, bytes: number) => exchange(RECEIVE, host, port, bytes);

/** Milliseconds until a {@link serve} has all of so many bytes. */
const send = (host: string, port: number, bytes: number) => exchange(SEND, host, port, bytes);

async function exchange(script: string, host: string, port: number, bytes: number): Promise<number> {
  const { started, ended } = await time(['timeout', '60', 'bash', '-c', script, 'bash', host, String(port), String(bytes)]);
  return ended - started;
}

const RECEIVE = `
exec 3<>"/dev/tcp/$1/$2" && echo "give $3" >&3
LC_ALL=C dd of=/dev/null bs=256K count="$3" iflag=fullblock,count_bytes <&3 2>&1 | grep -q "^$3 bytes"
`;

const SEND = `
exec 3<>"/dev/tcp/$1/$2" && echo "take $3" >&3
dd if=/dev/zero bs=256K count="$3" iflag=count_bytes status=none >&3 && read -r -N 1 -t 30 <&3
`;

/** Null where nothing listens. */
const listenerOf = (port: number): Promise<string | null> => Promise.resolve(listener(port) ?? null);

const answer = (line: Answer) => process.stdout.write(`${JSON.stringify(line)}\n`);

const tasks: Tasks = { time, untilUsable, untilOpen, untilClosed, serve, receive, send, listenerOf, untilRecovered, trickle, isTrickling };

createInterface(process.stdin)
  .on('line', (line) => {
    const { id, task, args } = JSON.parse(line) as Call;
    (tasks[task] as (...given: readonly unknown[]) => Promise<unknown>)(...args).then(
      (result) => answer({ id, result }),
      (error: Error) => answer({ id, error: error.message }),
    );
  })
  .once('close', () => process.exit());
