/**
 * A Linux machine, as far as this program touches one. `local` is this machine; the tests hand in their own, and a
 * machine behind ssh is another. Everything that reads facts or carries out steps goes through here.
 */
export interface Machine {
  /** Runs a program; never through a shell. A program that cannot be started yields code 127, as a shell would say. */
  run(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  /** Runs a program on the user's own terminal, and returns its exit code. With `input`, only stdin is not the terminal. */
  runAttached(argv: readonly string[], input?: string): Promise<number>;
  /** The bytes of a regular file; undefined where there is none. Throws what the system says otherwise. */
  read(path: string): Promise<Buffer | undefined>;
  /** What lies at the path, a symbolic link not followed; undefined where nothing does. */
  stat(path: string): Promise<FileStat | undefined>;
  /** Names in a directory, sorted; empty where there is none. */
  list(path: string): Promise<string[]>;
  /** Puts a whole file in place at once: a reader or a power cut meets either the old bytes or the new ones. */
  write(path: string, content: string | Buffer, mode: number): Promise<void>;
  /** Removes a file; nothing to do where there is none. */
  remove(path: string): Promise<void>;
  /** Makes one directory; its parent must be there. */
  makeDirectory(path: string, mode: number): Promise<void>;
  /** Removes a directory if it is empty, and says whether it is gone. */
  removeEmptyDirectory(path: string): Promise<boolean>;
  /** Makes a new private directory (0700) for the caller's own short-lived files. */
  temporaryDirectory(): Promise<string>;
  removeTree(path: string): Promise<void>;
  symlink(target: string, path: string): Promise<void>;
  /** Tries to connect; resolves with what the other end says first, within the time, and within a time of its own once connected. */
  dial(target: DialTarget, timeoutMs: number, firstWordsMs?: number): Promise<DialResult>;
  /** Waits until no other run of ours holds the lock, and returns what lets it go; a killed holder lets go by itself. */
  lock(path: string, onWait: () => void): Promise<() => Promise<void>>;
  /** Shows that a new login still gets here, not over a connection that stands already; on this machine itself there is nothing to show. */
  reconnect(): Promise<void>;
}

/** Names of the files that {@link Machine.write} makes on its way; they outlive it only when it is killed. */
export const TEMPORARY_FILE = /^\.revtun-\d+\.tmp$/;

export interface RunOptions {
  readonly input?: string;
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds; the program is ended after that, and `timedOut` is set. */
  readonly timeoutMs?: number;
  /** Looked at whenever the program has said more; true ends it (SIGTERM) and sets `stopped`. */
  readonly stopWhen?: (stderr: string, stdout: string) => boolean;
  /** Ends the program when aborted, and sets `stopped`. */
  readonly signal?: AbortSignal;
  /** Keeps it out of the terminal's foreground group, whose every member Ctrl-C ends. */
  readonly apart?: boolean;
  /**
   * Ends with it whatever it has started, and keeps all of that apart as well: the proxy of an ssh that gave up may wait
   * for a silent server for ever, with our pipes in its hands.
   */
  readonly withAll?: boolean;
  /** Leaves stdin open and silent instead of giving an empty one. */
  readonly holdInput?: boolean;
}

export interface RunResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
  readonly stopped: boolean;
}

export interface FileStat {
  readonly kind: 'file' | 'directory' | 'symlink' | 'socket' | 'other';
  /** Permission bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
}

export type DialTarget = { readonly host: string; readonly port: number } | { readonly path: string };

export type DialResult =
  /** `address`: what was reached by TCP, a name resolved. */
  | { readonly outcome: 'connected'; readonly banner: string; readonly address?: { readonly host: string; readonly port: number } }
  /**
   * `closed`: it was accepted, and closed again without a word. `forbidden`: this machine's own rules do not let it out
   * (EACCES or EPERM of connect(2), where the path of a socket may be forbidden as well).
   */
  | { readonly outcome: 'refused' | 'closed' | 'forbidden' | 'unreachable' | 'timeout'; readonly reason: string };

/** Who and where we are: facts of the running process, read once and handed down. */
export interface Identity {
  readonly uid: number;
  readonly userName: string;
  readonly home: string;
  /** The login that called sudo, if that is how we became root. */
  readonly sudoUser?: string;
  /** The home of that login. */
  readonly sudoHome?: string;
  readonly env: Readonly<Record<string, string | undefined>>;
}

/** The file by which runs of ours on one service manager wait for each other, in its runtime directory. */
export const LOCK_NAME = 'revtun-setup.lock';

/** Where a user's service manager lives. A login through `su` or cron lacks the variable that pam_systemd sets. */
export const runtimeDirectory = ({ env, uid }: Identity) => env['XDG_RUNTIME_DIR'] ?? `/run/user/${uid}`;
