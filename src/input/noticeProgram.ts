import { usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';

/** Where a service looks for programs (systemd.exec(5), ExecSearchPath=). */
const SEARCHED = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;

/**
 * The command with the whole path of its program, as it will be whatever PATH is then.
 * @param flag names it in a message
 * @throws ExpectedError (usage) when no program has that name
 */
export async function withWholePath(flag: string, command: readonly string[], machine: Machine): Promise<readonly string[]> {
  const [program, ...args] = command;
  if (program === undefined || program.startsWith('/')) return command;
  for (const directory of SEARCHED) {
    const path = `${directory}/${program}`;
    if ((await machine.run(['test', '-x', path])).code === 0) return [path, ...args];
  }
  throw usage(`${flag}: there is no program "${program}" in ${SEARCHED.join(', ')}`, 'Give its whole path.');
}
