import { checkServer } from '../../checks/serverCheck.ts';
import { AlreadyTold, ExpectedError, failed } from '../../errors.ts';
import { requireSetUp } from '../../plan/serverDevices.ts';
import type { ServerState } from '../../server/state.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import type { Context } from '../context.ts';
import { onServer } from './login.ts';

const MARKS = { ok: 'done', unknown: 'unknown', fault: 'fault' } as const;

/** What devices will meet on a server. @throws ExpectedError exit code 1 when something is not as it should be */
export async function serverCheck(context: Context, destination: Destination): Promise<void> {
  await onServer(context, destination, false, async ({ server, output }, state) => {
    const notReady = whyNotReady(state, formatDestination(destination));
    const findings = [
      ...(notReady ? [{ finding: notReady.id, level: 'fault' as const, says: `${notReady.message} ${notReady.hint}` }] : []),
      ...(await checkServer(server, state)),
    ];
    for (const { level, finding, says } of findings) output.mark(MARKS[level], `${finding}: ${says}`);
    const faults = findings.filter(({ level }) => level === 'fault');
    const problem = faults.length === 0 ? undefined : notReady ?? failed('server-faults', faults.map(({ says }) => says).join('\n'));
    output.object({
      ok: problem === undefined, changed: false, openssh: state.openssh, devices: state.devices.length, findings,
      ...(problem && { error: { code: problem.id, message: problem.message, hint: problem.hint } }),
    });
    if (problem) throw new AlreadyTold(problem);
  });
}

function whyNotReady(state: ServerState, destination: string): ExpectedError | undefined {
  try {
    requireSetUp(state, destination);
    return undefined;
  } catch (error) {
    if (error instanceof ExpectedError) return error;
    throw error;
  }
}
