import { failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import { journalctlArgv } from '../unit/systemctl.ts';
import type { Context } from './context.ts';
import { findTunnel } from './find.ts';

/** The journal of one tunnel, by journalctl itself: on a terminal with its pager and colours. */
export async function logs(context: Context, name: string | undefined, follow: boolean, lines: string, draft: Draft): Promise<void> {
  const { machine, who, output } = context;
  const { scope, places, name: found } = await findTunnel(context, name, draft);
  const argv = journalctlArgv(scope, who, places.unit, '-n', lines);
  if (output.json) {
    const { code, stdout, stderr } = await machine.run([...argv, '-o', 'short-iso', '--no-pager', '-q']);
    if (code !== 0) throw unreadable(code, stderr);
    output.object({ ok: true, changed: false, name: found, scope, unit: places.unit, lines: stdout.split('\n').filter((line) => line !== '') });
    return;
  }
  const code = await machine.runAttached(follow ? [...argv, '-f'] : argv);
  if (code !== 0 && !context.signal.aborted) throw unreadable(code);
}

const unreadable = (code: number, said = '') =>
  failed('journal', `journalctl ended with ${code}${said.trim() === '' ? '.' : `: ${said.trim()}`}`, 'Reading the journal of the system may need sudo, or membership in the group systemd-journal.');
