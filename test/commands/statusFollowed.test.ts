import { expect, test } from '@jest/globals';
import type { Finding } from '../../src/checks/verify.ts';
import { makePace } from '../../src/commands/status/followed.ts';
import type { ServiceState } from '../../src/doctor/state.ts';

const up = (restarts = 0): ServiceState => ({ state: 'up', enabled: true, since: new Date(0), restarts, outdated: false });
const proofs = (...findings: Finding[]) => findings.map((finding) => ({ forward: '1:localhost:22', finding, says: 'the server did not take the second login that the proof needs' }));

/** Seconds after which proofs come that show the same each time, within ten minutes. */
function dueAt(findings: readonly Finding[], stateAt: (second: number) => ServiceState = () => up()): number[] {
  let second = 0;
  const pace = makePace(() => second * 1000);
  const due: number[] = [];
  for (; second < 600; second += 1) {
    const state = stateAt(second);
    if (!pace.isDue(state)) continue;
    due.push(second);
    pace.proved(state, proofs(...findings));
  }
  return due;
}

test.each<[string, readonly Finding[], readonly number[]]>([
  ['all is well', ['proven', 'answered'], [0, 300]],
  ['the server does not let the proof in', ['proven', 'not-provable'], [0, 8, 16, 24, 40, 70]],
  ['there is nothing to prove', [], [0, 300]],
  ['something is amiss', ['proven', 'silent'], [0, 6, 12, 20, 36, 66, 96]],
  ['the target may still come', ['nothing-here'], [0, 3, 7, 15, 31, 61, 91]],
])('where %s, proofs come ever more rarely', (_what, findings, first) => {
  expect(dueAt(findings).slice(0, first.length)).toEqual(first);
});

test('a login that is refused for each forward is not repeated before the server has forgotten it', () => {
  const due = dueAt(['not-provable', 'not-provable', 'not-provable']);
  expect(due.slice(0, 3)).toEqual([0, 15, 30]);
});

test('a tunnel that came back is proven at once, and one that comes and goes is not stormed', () => {
  expect(dueAt(['proven'], (second) => up(second < 100 ? 0 : 1))).toEqual([0, 100, 400]);
  expect(dueAt(['silent'], (second) => up(second)).slice(0, 4)).toEqual([0, 3, 6, 9]);
  expect(dueAt(['proven'], () => ({ ...up(), state: 'connecting' }))).toEqual([]);
});
