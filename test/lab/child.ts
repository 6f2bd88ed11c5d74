import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { constants } from 'node:os';
import { programBehind, signalTree } from './processTree.ts';

export type Result = { code: number; stdout: string; stderr: string };

export type RunOptions = {
  input?: string | Uint8Array;
  env?: Record<string, string>;
  cwd?: string;
  timeoutMs?: number;
};

/** How long output may still trickle in after the program has ended: a daemon it left behind may hold the pipe for ever. */
const outputGraceMs = 200;

/**
 * Runs a program to its end. A signal counts as exit code 128 + its number, as in a shell. Rejects on a timeout, with a
 * message that shows the program as `shownAs`.
 */
export function execute(argv: readonly string[], options: RunOptions = {}, shownAs = argv.join(' ')): Promise<Result> {
  const { input, timeoutMs = 30_000 } = options;
  return new Promise((resolve, reject) => {
    const child = start(argv, ['pipe', 'pipe', 'pipe'], options);
    const stdout: Buffer[] = [];
    const stderr: Buffer[] = [];
    const result = (code: number): Result => ({
      code,
      stdout: Buffer.concat(stdout).toString('utf8'),
      stderr: Buffer.concat(stderr).toString('utf8'),
    });
    const timer = setTimeout(() => {
      if (child.pid !== undefined) signalTree(programBehind(child.pid), 'SIGKILL');
      const { stdout: out, stderr: err } = result(0);
      reject(new Error(`not done after ${timeoutMs} ms: ${shownAs}\n${out}${err}`));
    }, timeoutMs);
    child.stdout?.on('data', (chunk: Buffer) => stdout.push(chunk));
    child.stderr?.on('data', (chunk: Buffer) => stderr.push(chunk));
    child.stdin?.on('error', () => {
      // the program did not want all of its input: its exit code tells whether that was well
    });
    child.stdin?.end(input);
    child.once('error', (error) => {
      clearTimeout(timer);
      reject(error);
    });
    child.once('exit', (code, signal) => {
      clearTimeout(timer);
      const exitCode = code ?? 128 + (signal === null ? 0 : constants.signals[signal]);
      const done = () => {
        clearTimeout(grace);
        child.stdout?.destroy();
        child.stderr?.destroy();
        resolve(result(exitCode));
      };
      const grace = setTimeout(done, outputGraceMs);
      child.once('close', done);
    });
  });
}

/** Runs a program that has to succeed; returns what it printed. */
export async function succeed(argv: readonly string[], options: RunOptions = {}): Promise<string> {
  const { code, stdout, stderr } = await execute(argv, options);
  if (code !== 0) throw new Error(`exit code ${code}: ${argv.join(' ')}\n${stdout}${stderr}`);
  return stdout;
}

/** Starts a program and leaves it running. Its environment is this process's own with `env` laid over it. */
export function start(argv: readonly string[], stdio: StdioOptions, options: Pick<RunOptions, 'env' | 'cwd'> = {}): ChildProcess {
  const [program, ...args] = argv;
  if (program === undefined) throw new Error('no program given');
  return spawn(program, args, {
    stdio,
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
}

/** An argv whose program the kernel kills when this process dies, however it dies. */
export function tiedToUs(argv: readonly string[]): string[] {
  return ['setpriv', '--pdeathsig', 'KILL', '--', ...argv];
}

export type Running = {
  child: ChildProcess;
  /** Sends a signal to the program and to everything below it. */
  signal: (signal: NodeJS.Signals) => void;
  /** The exit code, once it has ended. */
  exited: Promise<number>;
};

/** Starts an interactive program: its stdin, stdout and stderr are pipes on `child`. */
export function spawnRunning(argv: readonly string[], options: Pick<RunOptions, 'env' | 'cwd'> = {}): Running {
  const child = start(argv, ['pipe', 'pipe', 'pipe'], options);
  const exited = new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal]));
    });
  });
  return {
    child,
    signal: (signal) => {
      if (child.pid !== undefined) signalTree(programBehind(child.pid), signal);
    },
    exited,
  };
}
