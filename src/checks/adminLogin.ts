import { personNeeded } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { openRemote, type Remote } from '../machine/remote.ts';
import { commandLine } from '../shell.ts';
import { type Destination, formatDestination } from '../tunnel/destination.ts';
import { lastWords, recognise, sshError } from './sshFailure.ts';

/** What a login as a server's administrator needs; a command's Context has most of it. */
export interface AdminLogin {
  /** This machine, which has the ssh. */
  readonly machine: Machine;
  readonly who: Identity;
  /** Whether ssh may ask for passwords and host keys on the terminal, and `askPassword` be called. */
  readonly interactive: boolean;
  /** Gives up while opening. Later it is the caller who ends the connection: after Ctrl-C work is undone over it. */
  readonly signal: AbortSignal;
  /** Asks for sudo's password, unseen. */
  readonly askPassword: (prompt: string) => Promise<string>;
  /** Gets ssh's own words as they come, for the person who has to answer it. */
  readonly tell: (words: string) => void;
}

/** A server that we are root on. */
export interface Administered {
  readonly machine: Remote;
  /** What messages call it. */
  readonly name: string;
}

/**
 * Logs in to a server as its administrator, as `ssh DEST` does: with the configuration, agent and known_hosts of the
 * person who called us. The caller closes the machine, however its work ends.
 * @throws ExpectedError as {@link openRemote}, and in the words of {@link sshError} what stood in ssh's way
 */
export async function openAdmin({ machine, who, interactive, signal, askPassword, tell }: AdminLogin, destination: Destination): Promise<Administered> {
  const { host, user, port } = destination;
  const words = [...(user === undefined ? [] : ['-l', user]), ...(port === undefined ? [] : ['-p', String(port)]), '--', host];
  const name = formatDestination(destination);
  const login = {
    name,
    argv: words,
    ...(who.sudoUser !== undefined && { runAs: { user: who.sudoUser, home: who.sudoHome ?? who.home } }),
  };
  const explain = (said: string) => {
    const cause = recognise(said)?.id;
    // Not of a tunnel's key is the talk here, but of all that ssh has tried.
    return cause === 'key-refused'
      ? personNeeded('login-refused', `${name}: it does not let this login in. (ssh: ${lastWords(said)})`, hintFor(cause, words))
      : sshError(name, said, hintFor(cause, words));
  };
  return { machine: await openRemote(machine, login, { interactive, signal, askPassword, tell, explain }), name };
}

/** It is the person's own ssh that has to get there first; none of a tunnel's flags mends that. */
function hintFor(cause: string | undefined, words: readonly string[]): string | undefined {
  const ssh = commandLine(['ssh', ...words.filter((word) => word !== '--')]);
  switch (cause) {
    case 'host-key-unknown': return `Log in once by hand and compare the fingerprint that it shows: ${ssh}`;
    case 'host-key-changed': return `Somebody may be in between, or the server was set up anew. If it was, see what this says: ${ssh}`;
    case 'key-refused': return `This has to work first: ${ssh}. On a terminal ssh can ask for a password.`;
    case 'name-unknown': return 'Check the spelling, and name resolution on this machine (getent hosts NAME).';
    case 'server-refused': return 'Check the port, and that sshd runs on the server.';
    case 'ssh-option': return `See what this says: ${ssh}`;
    default: return undefined;
  }
}
