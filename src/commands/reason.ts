import { recognise } from '../checks/sshFailure.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import { journalctlArgv } from '../unit/systemctl.ts';

/** Why the unit's ssh last gave up, in its own words; undefined when its journal does not say (or may not be read). */
export async function reasonFromJournal(machine: Machine, scope: Scope, who: Identity, unit: string, since?: Date): Promise<string | undefined> {
  const span = since ? ['--since', `@${Math.floor(since.getTime() / 1000)}`] : [];
  const { stdout } = await machine.run(journalctlArgv(scope, who, unit, ...span, '-n', '200', '-o', 'json', '--no-pager'), { timeoutMs: 10_000 });
  const messages = stdout.split('\n').flatMap((line) => {
    const entry = parseEntry(line);
    // ssh writes its reasons with its own name; systemd's remarks about the unit are not reasons.
    return typeof entry?.SYSLOG_IDENTIFIER === 'string' && /(^|\/)ssh$/.test(entry.SYSLOG_IDENTIFIER) && typeof entry.MESSAGE === 'string' ? [entry.MESSAGE.trim()] : [];
  });
  return messages.findLast((message) => recognise(message) !== undefined) ?? messages.at(-1);
}

function parseEntry(line: string): { SYSLOG_IDENTIFIER?: unknown; MESSAGE?: unknown } | undefined {
  try {
    return JSON.parse(line) as { SYSLOG_IDENTIFIER?: unknown; MESSAGE?: unknown };
  } catch {
    return undefined;
  }
}
