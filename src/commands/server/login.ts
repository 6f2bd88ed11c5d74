import { openAdmin } from '../../checks/adminLogin.ts';
import { failed } from '../../errors.ts';
import type { Machine } from '../../machine/machine.ts';
import type { Destination } from '../../tunnel/destination.ts';
import { SERVER } from '../../server/places.ts';
import { readServer, type ServerState } from '../../server/state.ts';
import { narrow } from '../../wrap.ts';
import type { Context } from '../context.ts';

/** A server that its administrator is logged in to. */
export interface AtServer extends Context {
  /** The server, with root's rights. */
  readonly server: Machine;
  readonly destination: Destination;
}

/** Logs in as the administrator, once for all of the work. */
export async function atServer<T>(context: Context, destination: Destination, work: (at: AtServer) => Promise<T>): Promise<T> {
  const { signal, output } = context;
  const askPassword = async (prompt: string) => {
    const { openAsk } = await import('../../input/ask.ts');
    return openAsk(signal).secret(prompt);
  };
  const { machine: server } = await openAdmin({ ...context, askPassword, tell: output.notice }, destination);
  try {
    return await work({ ...context, output: context.interactive ? narrow(output) : output, server, destination });
  } finally {
    await server.close();
  }
}

/**
 * Does the work on what the server has, while no other run changes it; one that only looks need not wait.
 * What a run that was cut off would have put back by itself in a minute is put back now.
 * @throws ExpectedError when it cannot be
 */
export async function withServerLock<T>({ server, output }: AtServer, changes: boolean, work: (state: ServerState) => Promise<T>): Promise<T> {
  if (!changes) return work(await readServer(server));
  const unlock = await server.lock(SERVER.lock, () => output.progress('Waiting for another revtun-setup to end there …'));
  try {
    const found = await readServer(server);
    const backup = [SERVER.restoring, SERVER.armed].find((path) => found.files.has(path));
    const script = backup === undefined ? SERVER.restore : `${backup}/script`;
    if (backup === undefined && !found.files.has(script)) return await work(found);
    output.notice('An earlier run was cut off while it changed sshd there: that is put back first.');
    const { code, stderr, timedOut } = await server.run(['sh', script, 'restore'], { timeoutMs: 30_000 });
    if (code !== 0) {
      throw failed('sshd-not-put-back', `What an earlier run changed in sshd's configuration there cannot be put back: ${timedOut ? 'no end after 30 s' : stderr.trim() || `exit code ${code}`}`,
        'Mend what stands in its way, and run this again. Until then the server itself tries once a minute.');
    }
    return await work(await readServer(server));
  } finally {
    await unlock();
  }
}

/** Logs in, and does the work on what the server has. */
export const onServer = <T>(context: Context, destination: Destination, changes: boolean, work: (at: AtServer, state: ServerState) => Promise<T>): Promise<T> =>
  atServer(context, destination, (at) => withServerLock(at, changes, (state) => work(at, state)));
