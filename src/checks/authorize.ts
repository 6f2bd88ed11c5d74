import { join } from 'node:path';
import type { Machine } from '../machine/machine.ts';
import { checkArgv } from '../tunnel/ssh.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import type { Workbench } from './workbench.ts';

/**
 * Lets a person log in to the tunnel's server on the terminal, by whatever ssh can ask for, and appends a line to
 * authorized_keys there, as ssh-copy-id does. A line that is there stays, once; nothing else in the file changes.
 * @param bench with the server's host keys pinned: no password goes to anybody else
 * @param replaces a line that this very run has put there before, to be taken out again
 * @returns whether the line is there now; if not, ssh has said why on the terminal
 */
export async function appendKeyLine(machine: Machine, tunnel: Tunnel, bench: Workbench, line: string, replaces = ''): Promise<boolean> {
  const config = join(bench.directory, 'login_config');
  await machine.write(config, loginConfig(bench.knownHosts), 0o600);
  return (await machine.runAttached([...checkArgv(tunnel, config, ['-T']), APPEND], `${line}\n${replaces}\n${keyOf(line)}\n`)) === 0;
}

/** Type and key of a line, without options and comment. */
const keyOf = (line: string) => /(?:ssh|ecdsa|sk)-\S+ AAAA\S+/.exec(line)?.[0] ?? line;

/** The person's own keys and agent may do as well as a password; nothing else of an ssh_config may. */
const loginConfig = (knownHosts: string) => `Host *
    StrictHostKeyChecking yes
    UserKnownHostsFile "${knownHosts}"
    GlobalKnownHostsFile /dev/null
    UpdateHostKeys no
    ConnectTimeout 10
    NumberOfPasswordPrompts 3
    ControlMaster no
    ControlPath none
    ForwardAgent no
`;

/**
 * Constant text for the login's shell, whichever that is: one line, because csh knows no longer quotes. The lines come
 * by stdin and meet no shell. New files get 0600 and 0700 by the umask; of old ones only what sshd's StrictModes would
 * refuse is mended.
 */
const APPEND = `exec sh -c '${[
  'set -e',
  'umask 077',
  'cd',
  'IFS= read -r line',
  'IFS= read -r old || old=',
  'IFS= read -r key',
  'f=.ssh/authorized_keys',
  'mkdir -p .ssh',
  'touch "$f"',
  'chmod go-w .ssh "$f"',
  'if [ -n "$old" ] && grep -qxF -e "$old" "$f"; then { grep -vxF -e "$old" "$f" || :; } > "$f.revtun"; mv "$f.revtun" "$f"; fi',
  'if grep -qxF -e "$line" "$f"; then exit 0; fi',
  // sshd heeds the first line of a key alone (auth2-pubkeyfile.c).
  'if grep -qF -e "$key" "$f"; then echo "this key has another line in $f there, and sshd heeds only the first: change that one, or use a key of its own (--generate-key)" >&2; exit 1; fi',
  // A last line without its end would swallow ours.
  'if [ -n "$(tail -c 1 "$f")" ]; then echo >> "$f"; fi',
  'printf "%s\\n" "$line" >> "$f"',
  'if command -v restorecon > /dev/null; then restorecon -F .ssh "$f" || :; fi',
].join('; ')}'`;
