import { failed } from '../errors.ts';
import type { Machine, RunOptions } from './machine.ts';
import { connect, type Connection, type ConnectOptions, type Login, NotBegun, type Rights } from './remoteConnection.ts';
import { filesOver } from './remoteFiles.ts';
import { findRights, lastLine } from './remoteRights.ts';

export type { Login } from './remoteConnection.ts';

/** A machine behind ssh, as its root. */
export interface Remote extends Machine {
  /** Ends the connection. Without it, it ends with this process. */
  close(): Promise<void>;
}

export interface OpenOptions extends ConnectOptions {
  /** Asks a person for sudo's password, unseen. It is kept in memory alone, and given to sudo's stdin alone. */
  readonly askPassword?: (prompt: string) => Promise<string>;
}

/**
 * Logs in over ssh, once, and becomes root there; all further work goes through that one connection. When it breaks
 * off, whatever is asked of the machine throws ExpectedError `server-lost`.
 * @throws ExpectedError what `explain` makes of ssh's words; `no-root-there`, `sudo-password`, `sudo-refused`
 */
export async function openRemote(local: Machine, login: Login, options: OpenOptions): Promise<Remote> {
  const connection = await connect(local, login, options);
  try {
    return remoteOver(connection, await findRights(connection, options.interactive ? options.askPassword : undefined));
  } catch (error) {
    await connection.close();
    throw error;
  }
}

function remoteOver(connection: Connection, rights: Rights): Remote {
  const { name } = connection;
  const run = async (argv: readonly string[], options?: RunOptions) => {
    try {
      return await connection.run(rights, argv, options);
    } catch (error) {
      if (!(error instanceof NotBegun)) throw error;
      throw failed('sudo-refused', `${name}: a command as root was refused. (sudo: ${lastLine(error.said)})`);
    }
  };

  /** @returns what lets go; undefined when another holds it */
  const attempt = async (path: string, wait: readonly string[]) => {
    const ending = new AbortController();
    let onHeld: (held: true) => void = () => undefined;
    const held = new Promise<true>((resolve) => {
      onHeld = resolve;
    });
    const holder = run(['sh', '-c', LOCK, 'sh', String(connection.lifeline), ...wait, path], {
      signal: ending.signal,
      stopWhen: (_stderr, stdout) => {
        if (stdout.includes('held')) onHeld(true);
        return false;
      },
    });
    const outcome = await Promise.race([held, holder]);
    if (outcome === true) {
      // A connection that breaks off lets go by itself.
      const gone = holder.catch(() => undefined);
      return async () => {
        ending.abort();
        await gone;
      };
    }
    if (outcome.code === 1) return undefined;
    throw failed('step-failed', `${name}: ${path} cannot be locked: ${outcome.stderr.trim()}`);
  };

  return {
    ...filesOver(run),
    run,
    runAttached: (argv, input) => connection.runAttached(rights, argv, input),
    dial: async () => ({ outcome: 'unreachable', reason: `connections from ${name} are not tried` }),
    lock: async (path, onWait) => {
      const atOnce = await attempt(path, ['--nonblock']);
      if (atOnce) return atOnce;
      onWait();
      const later = await attempt(path, ['--timeout', String(LOCK_LIFE + 20)]);
      if (later) return later;
      throw failed('locked', `Another revtun-setup is at work on ${name} (${path} is locked there).`, 'Wait for it to end, then run this again.');
    },
    reconnect: () => connection.reconnect(),
    close: () => connection.close(),
  };
}

/**
 * Seconds. The server may not notice for hours that the other end of a connection is gone: then the lock goes all the
 * same, and whoever waits for it outlasts it. It is longer than any work of ours but the removal of hundreds of devices.
 */
const LOCK_LIFE = 180;

/** The lock goes with the connection: tail(1) watches its lifeline. Nobody else may open root's file, which is all it takes to hold the lock. */
const LOCK = `umask 077; lifeline=$1; shift; exec flock "$@" sh -c 'echo held; exec timeout --foreground ${LOCK_LIFE} tail -f /dev/null --pid="$1"' sh "$lifeline"`;
