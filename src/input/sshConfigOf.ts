import { usage } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Destination } from '../tunnel/destination.ts';
import { SSH } from '../tunnel/ssh.ts';

/** The lines of `ssh -G` that matter to us; keywords as it prints them, in lower case. */
export interface SshConfigValues {
  readonly hostname?: string;
  readonly user?: string;
  readonly port?: string;
  readonly proxyjump?: string;
  readonly proxycommand?: string;
  readonly identityfile: readonly string[];
  /** Whose configuration it is; `~` means this. */
  readonly home: string;
}

/**
 * What ssh would do with a destination, by its own parser (`ssh -G`, which connects nowhere).
 * Under sudo the configuration of the user who called is meant, and read as that user: it may hold `Match exec`.
 * @throws ExpectedError (usage) when ssh refuses it
 */
export async function sshConfigOf(machine: Machine, who: Identity, destination: Destination): Promise<SshConfigValues> {
  const { host, user, port } = destination;
  const words = [...(user === undefined ? [] : ['-l', user]), ...(port === undefined ? [] : ['-p', String(port)]), '--', host];
  const { code, stdout, stderr } = await sshG(machine, who, words);
  // Without an ssh there is nothing to ask; `render` works all the same, and `install` refuses elsewhere.
  if (code === 127) return { user: who.sudoUser ?? who.userName, identityfile: [], home: homeOfCaller(who) };
  if (code !== 0) throw usage(`--host: ssh does not accept it: ${stderr.trim()}`);
  const values = parseSshG(stdout);
  const first = (key: string) => values.find(([keyword]) => keyword === key)?.[1];
  return {
    ...pick('hostname', first), ...pick('user', first), ...pick('port', first),
    ...pick('proxyjump', first), ...pick('proxycommand', first),
    identityfile: values.filter(([keyword]) => keyword === 'identityfile').map(([, value]) => value),
    home: homeOfCaller(who),
  };
}

/** Runs `ssh -G` with these words as the person who called us. */
export function sshG(machine: Machine, who: Identity, words: readonly string[]) {
  const asCaller = who.sudoUser === undefined ? [] : ['runuser', '-u', who.sudoUser, '--'];
  return machine.run([...asCaller, SSH, '-G', ...words], { timeoutMs: 10_000, ...(who.sudoUser !== undefined && { env: { HOME: homeOfCaller(who) } }) });
}

export function parseSshG(stdout: string): [string, string][] {
  return stdout.split('\n').flatMap((line): [string, string][] => {
    const blank = line.indexOf(' ');
    return blank === -1 ? [] : [[line.slice(0, blank), line.slice(blank + 1)]];
  });
}

/** The home whose ~/.ssh a person means: under sudo not root's, but theirs. */
export const homeOfCaller = (who: Identity) => who.sudoHome ?? who.home;

function pick<Key extends string>(key: Key, from: (key: string) => string | undefined): Partial<Record<Key, string>> {
  const value = from(key);
  return value === undefined ? {} : ({ [key]: value } as Partial<Record<Key, string>>);
}
