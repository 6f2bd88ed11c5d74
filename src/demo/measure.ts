import type { Machine } from '../machine/machine.ts';
import { cancelled, failed } from '../errors.ts';
import { GREETING } from './service.ts';
import { waitFor } from './waitFor.ts';

/** Whether the demo's service answers at a port of 127.0.0.1. */
export async function answersAt(machine: Machine, port: number): Promise<boolean> {
  const dialled = await machine.dial({ host: '127.0.0.1', port }, 1000);
  return dialled.outcome === 'connected' && dialled.banner === GREETING;
}

/** Milliseconds; the unit waits 5 s before it tries again. */
const COME_BACK_LIMIT = 12_000;

/**
 * Does something that takes the tunnel down, and waits until the service behind it answers again.
 * @param explain what can be said of a tunnel that stays away
 * @returns seconds from the blow to the answer
 * @throws ExpectedError when it does not go down, or does not come back
 */
export async function timeRecovery(machine: Machine, port: number, strike: () => Promise<void>, explain: () => Promise<string>, signal: AbortSignal): Promise<number> {
  const began = performance.now();
  await strike();
  const down = await waitFor(async () => !(await answersAt(machine, port)), 2000, signal);
  const back = down && (await waitFor(() => answersAt(machine, port), COME_BACK_LIMIT, signal));
  if (signal.aborted) throw cancelled();
  if (!down) throw failed('demo-unharmed', 'ssh was killed, but the tunnel did not go down.');
  if (!back) throw failed('demo-not-back', `ssh was killed, and the tunnel did not come back within ${COME_BACK_LIMIT / 1000} s.`, await explain());
  return (performance.now() - began) / 1000;
}
