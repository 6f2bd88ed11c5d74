import { failed } from '../errors.ts';
import { type Identity, type Machine, type RunResult, runtimeDirectory } from '../machine/machine.ts';
import type { Scope } from '../tunnel/tunnel.ts';

/** The one door to systemctl: decides once which manager is meant. */
export interface Systemctl {
  /** The full command, for a plan or a hint. */
  argv(...words: string[]): string[];
  run(...words: string[]): Promise<RunResult>;
  /**
   * Properties of a unit as `systemctl show` prints them; empty strings where systemd knows no such unit.
   * @throws ExpectedError when systemd does not answer: to take silence for "not running" could leave one running for good
   */
  show<Name extends string>(unit: string, names: readonly Name[]): Promise<Record<Name, string>>;
}

export function systemctl(machine: Machine, scope: Scope, who: Identity): Systemctl {
  const argv = (...words: string[]) => [...managerEnv(scope, who), 'systemctl', ...(scope === 'user' ? ['--user'] : []), ...words];
  // Timestamps come in a zone that Date.parse knows, whatever this machine's is.
  const run = (...words: string[]) => machine.run(argv(...words), { timeoutMs: 90_000, env: { TZ: 'UTC' } });
  return {
    argv,
    run,
    async show(unit, names) {
      const { code, stdout, stderr, timedOut } = await run('show', '-p', names.join(','), '--', unit);
      if (code !== 0) throw failed('systemd-silent', `systemctl does not answer: ${timedOut ? 'no word in time' : stderr.trim()}`, 'See: systemctl status');
      const found = new Map(stdout.split('\n').map((line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)]));
      return Object.fromEntries(names.map((name) => [name, found.get(name) ?? ''])) as Record<(typeof names)[number], string>;
    },
  };
}

/** The journal of one unit, or of all of them, newest last. */
export function journalctlArgv(scope: Scope, who: Identity, unit: string | undefined, ...more: string[]): string[] {
  return [...managerEnv(scope, who), 'journalctl', ...(scope === 'user' ? ['--user'] : []), ...(unit === undefined ? [] : ['-u', unit]), ...more];
}

/** A login through `su`, cron or a provisioning tool lacks what pam_systemd sets; the user's manager is there all the same. */
function managerEnv(scope: Scope, who: Identity): string[] {
  if (scope === 'system' || who.env['XDG_RUNTIME_DIR'] !== undefined) return [];
  return ['env', `XDG_RUNTIME_DIR=${runtimeDirectory(who)}`];
}
