import { expect, test } from '@jest/globals';
import { setTimeout as sleep } from 'node:timers/promises';
import { lookUntil } from '../../src/machine/lookUntil.ts';

test.each([
  ['slow looks', 150, 10, 300, [2, 3]],
  ['quick looks', 0, 50, 300, [5, 7]],
  ['no time', 0, 10, 0, [1, 1]],
])('%s end with the time', async (_what, takes, every, limit, [least, most]) => {
  let looks = 0;
  const begun = performance.now();
  await lookUntil(() => false, async () => {
    looks += 1;
    await sleep(takes);
  }, { limit, every });
  expect(performance.now() - begun).toBeLessThan(limit + takes + every + 200);
  expect([looks >= least!, looks <= most!]).toEqual([true, true]);
});

test('what is settled is looked at no more', async () => {
  let looks = 0;
  expect(await lookUntil((seen) => seen === 2, () => Promise.resolve(looks += 1), { limit: 5000, every: 1 })).toBe(2);
});
