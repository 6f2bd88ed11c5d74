import { expect, test } from '@jest/globals';
import { local } from '../../src/machine/local.ts';
import type { RunOptions } from '../../src/machine/machine.ts';

/** As ssh does with its way through a jump host: what it started goes on without it, and has its stderr. */
const LEAVES_SOMETHING = ['sh', '-c', 'sleep 61.5 & echo "$!" >&2; [ -n "$ENDS" ] || exec sleep 62; exit 128'];

test.each<[string, () => RunOptions, object]>([
  ['when the time is over', () => ({ timeoutMs: 300 }), { timedOut: true, stopped: false }],
  ['when it is not wanted any more', () => ({ signal: AbortSignal.timeout(300) }), { timedOut: false, stopped: true }],
  ['when it has said enough', () => ({ stopWhen: (said) => said !== '' }), { timedOut: false, stopped: true }],
  ['when it ends by itself', () => ({ env: { ENDS: 'yes' } }), { timedOut: false, stopped: false }],
])('a program is ended with all that it started, %s', async (_when, options, how) => {
  const begin = performance.now();
  const result = await local.run(LEAVES_SOMETHING, { withAll: true, ...options() });
  expect([result, performance.now() - begin < 5000]).toEqual([{ code: 128, stdout: '', stderr: expect.stringMatching(/^\d+\n$/), ...how }, true]);
  expect((await local.run(['ps', '-o', 'stat=', '-p', result.stderr.trim()])).stdout).toMatch(/^(Z.*\n)?$/);
});

test('a program that has ended in time is not said to have been ended', async () => {
  expect(await local.run(['sh', '-c', 'echo out; echo err >&2; exit 3'], { timeoutMs: 5000 })).toEqual({ code: 3, stdout: 'out\n', stderr: 'err\n', timedOut: false, stopped: false });
  expect(await local.run(['/no/such/program'])).toMatchObject({ code: 127, stderr: expect.stringContaining('ENOENT'), timedOut: false });
});
