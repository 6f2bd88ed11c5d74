import { usage } from '../errors.ts';
import type { Machine } from '../machine/machine.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';

/** A uid without any rights, as that of the service is. */
const NOBODY = '65534';

/**
 * Refuses commands of --on-down and --on-up that could not be run.
 * @param otherUser a drop-in may let them run as somebody else, whose rights are not ours to judge
 * @throws ExpectedError (usage) naming the flag
 */
export async function requireNoticePrograms(machine: Machine, { onDown, onUp, scope }: Tunnel, otherUser: boolean): Promise<void> {
  for (const [flag, [program]] of [['--on-down', onDown], ['--on-up', onUp]] as const) {
    if (program === undefined) continue;
    const asked = async (...argv: string[]) => (await machine.run([...argv, program])).code;
    if ((await asked('test', '-f')) !== 0) throw usage(`${flag}: there is no program ${program}`, 'Give the whole path of one that is there.');
    if ((await asked('test', '-x')) !== 0) throw usage(`${flag}: ${program} is not executable`, `If it is a script: chmod +x ${program}`);
    if (scope === 'user' || otherUser) continue;
    // 127: there is no setpriv (util-linux) here.
    const code = await asked('setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', 'test', '-x');
    if (code !== 0 && code !== 127) throw usage(`${flag}: ${program} may not be run by everybody, and the service has no rights of its own`, 'Put it where everybody may run it, as in /usr/local/bin.');
  }
}
