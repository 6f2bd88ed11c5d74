import { expect, test } from '@jest/globals';
import { hasTooMany } from '../../src/doctor/historyPart.ts';
import { longestDrop } from '../../src/doctor/longestDrop.ts';
import { type Drop, dropsSince } from '../../src/doctor/reason.ts';
import { isFight } from '../../src/doctor/twoDevices.ts';
import { local } from '../../src/machine/local.ts';
import type { Identity, Machine } from '../../src/machine/machine.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const WHO: Identity = { uid: 0, userName: 'root', home: '/root', env: {} };

/** One line a journal entry: seconds, and what happened (`start`, `up`, `stop`, `failed`, `restart`, or ssh's words). */
const IDS: Readonly<Record<string, string>> = {
  start: '7d4958e842da4a758f6c1cdc7b36dcc5', up: '39f53479d3a045ac8e11786248231fbf', stop: 'de5b426a63be47a7b6ac3eaac82e2f6f',
  failed: 'd9b373ed55a64feb8242e02dbe79a49c', restart: '5eb03494b6584870a536b337290809b3',
};
const entries = (...happened: readonly (readonly [number, string])[]) => happened.map(([at, what]) => JSON.stringify({
  __REALTIME_TIMESTAMP: String(at * 1e6), MESSAGE: what, ...(IDS[what] ? { MESSAGE_ID: IDS[what], SYSLOG_IDENTIFIER: 'systemd' } : { SYSLOG_IDENTIFIER: 'ssh' }),
})).join('\n');
const drops = (...happened: readonly (readonly [number, string])[]) => {
  const machine: Machine = { ...local, run: () => Promise.resolve({ code: 0, stdout: entries(...happened), stderr: '', timedOut: false, stopped: false }) };
  return dropsSince(machine, 'system', WHO, 'revtun-home.service', new Date(0));
};

test('half a line of a journalctl that was ended is passed over', async () => {
  const stdout = `${entries([1, 'start'], [2, 'up'], [3, 'Broken pipe'], [3, 'failed'])}\n${entries([4, 'restart']).slice(0, 30)}`;
  const machine: Machine = { ...local, run: () => Promise.resolve({ code: 1, stdout, stderr: '', timedOut: true, stopped: false }) };
  expect(await dropsSince(machine, 'system', WHO, 'revtun-home.service', new Date(0))).toMatchObject([{ lasted: 1000, reason: 'Broken pipe' }]);
});

test('only what had been up can drop, and a person may restart it', async () => {
  expect(await drops()).toBeUndefined();
  expect(await drops([1, 'start'], [2, 'Connection refused'], [3, 'failed'], [3, 'restart'], [4, 'start'], [5, 'up'], [9, 'stop'], [9, 'start'], [10, 'up'])).toEqual([]);
  expect(await drops([1, 'start'], [2, 'up'], [62, 'Timeout, server h not responding.'], [63, 'failed'], [64, 'restart'], [65, 'start'], [65, 'released 2'], [66, 'up'], [70, 'restart'])).toEqual([
    { at: new Date(63_000), lasted: 61_000, reason: 'Timeout, server h not responding.', released: 2 },
    { at: new Date(70_000), lasted: 4000, reason: undefined, released: undefined },
  ]);
});

test('a drop that a clock which was ahead has put into the future is left out: nobody knows how long ago it was', async () => {
  const tomorrow = Math.floor(Date.now() / 1000) + 86_400;
  const happened = (at: number) => [[at, 'start'], [at, 'up'], [at + 1, 'Broken pipe'], [at + 1, 'failed']] as const;
  expect(await drops(...happened(100), ...happened(tomorrow))).toMatchObject([{ at: new Date(101_000) }]);
});

const drop = (ago: number, changes: Partial<Drop> = {}): Drop => ({ at: new Date(1e6 - ago * 1000), lasted: 1500, reason: undefined, released: 1, ...changes });

test.each<[string, Partial<Drop>, boolean]>([
  ['sessions that end without a word, and something to release each time', {}, true],
  ['the same, where ssh has a word for it', { reason: 'client_loop: send disconnect: Connection reset by peer' }, true],
  ['a server that ends sessions: nothing is left to release', { released: 0 }, false],
  ['a dead link', { reason: 'Timeout, server h not responding.' }, false],
  ['an account that does not release', { released: undefined }, false],
  ['an address that changes now and then', { lasted: 60_000 }, false],
])('two devices: %s', (_what, changes, expected) => {
  expect(isFight([2, 4, 6].map((ago) => drop(ago, changes)), 1e6)).toBe(expected);
  expect(isFight([2, 4].map((ago) => drop(ago, changes)), 1e6)).toBe(false);
  expect(isFight([200, 202, 204].map((ago) => drop(ago, changes)), 1e6)).toBe(false);
  expect(isFight([36, 34, 32].map((ago) => drop(ago, changes)), 1e6)).toBe(false);
});

test('five drops in ten minutes are too many, four or older ones are not', () => {
  expect(hasTooMany([1, 100, 200, 300, 599].map((ago) => drop(ago)), 1e6)).toBe(true);
  expect(hasTooMany([1, 100, 200, 300, 601].map((ago) => drop(ago)), 1e6)).toBe(false);
});

test('a tunnel that has stood for four minutes is mended', () => {
  expect(hasTooMany([241, 250, 260, 270, 280].map((ago) => drop(ago)), 1e6)).toBe(false);
  expect(hasTooMany([239, 250, 260, 270, 280].map((ago) => drop(ago)), 1e6)).toBe(true);
});

test.each([
  [{ release: true }, 18],
  [{ release: true, keepalive: 15 }, 66],
  [{ release: true, jump: [{ host: 'j' }] }, 28],
  [{ release: false }, 7881],
])('the longest drop with %j is %i s', (changes, seconds) => {
  expect(longestDrop(exampleTunnel(changes))).toBe(seconds);
});
