import { expect } from '@jest/globals';
import type { Snapshot } from '../lab/snapshot.ts';
import type { Cut, Drill, Ended } from './drill.ts';

/** A server with what it was before the rows began, and what a setup makes of it. */
export interface Lane {
  readonly drill: Drill;
  readonly bare: Snapshot;
  /** What sshd goes by, without and with the server's end. */
  readonly without: string;
  readonly with: string;
}

export async function startLane(drill: Drill): Promise<Lane> {
  // The account tools' first use makes them write what they always write.
  const without = (await drill.sshd()).effective;
  await succeed(drill, 'setup');
  const lane = { drill, without, with: (await drill.sshd()).effective };
  await succeed(drill, 'remove', '--all');
  return { ...lane, bare: drill.snapshot() };
}

export async function succeed(drill: Drill, ...words: string[]): Promise<Ended> {
  const ended = await drill.revtun(words);
  expect([words.join(' '), ended.code, ended.stderr]).toEqual([words.join(' '), 0, expect.not.stringMatching(/^\s+at /m)]);
  return ended;
}

const WHEN_LOST = /as the connection is gone: sshd's own configuration (was not touched|puts itself back|is the new one)/;

/** A setup and its removal, each cut off after so many steps, mended by the timer and taken on by the next run. */
export async function cutAndGoOn({ drill, bare, without, with: withEnd }: Lane, cut: Cut, ofSetup: number, ofRemoval: number): Promise<void> {
  const setup = await drill.cutAfter(ofSetup, cut, ['setup']);
  await expectMended(drill, setup, cut, without, withEnd);
  await succeed(drill, 'setup');
  await drill.expectState(withEnd);
  const removal = await drill.cutAfter(ofRemoval, cut, ['remove', '--all']);
  await expectMended(drill, removal, cut, withEnd, without);
  await succeed(drill, 'remove', '--all');
  await drill.expectState(without, bare);
}

async function expectMended(drill: Drill, ended: Ended, cut: Cut, before: string, after: string): Promise<void> {
  const says = (what: string) => ended.done.some((title) => title.includes(what));
  await drill.expectLogins();
  const armed = await drill.isArmed();
  if (armed) await drill.fireTimer();
  expect([armed, says('keep it')]).not.toEqual([true, true]);
  // Written and no timer any more: it was kept.
  const expected = armed || !says(drill.configuration) ? before : after;
  expect(await drill.sshd()).toEqual({ effective: expected, unread: '' });
  await drill.expectLogins();
  if (cut === 'SIGKILL') return;
  // The cut may come when all is done and said.
  if (ended.code === 0) return expect(says('keep it')).toBe(true);
  expect([ended.code, ended.stderr]).toEqual([1, expect.not.stringMatching(/^\s+at /m)]);
  const [, claim] = WHEN_LOST.exec(ended.stderr) ?? [];
  if (claim === undefined) {
    // All steps were done; it only could not look at them any more.
    expect([says('keep it'), ended.stderr]).toEqual([true, expect.stringContaining('broke off')]);
  } else if (claim !== 'puts itself back') {
    expect([claim, expected]).toEqual([claim, claim === 'is the new one' ? after : before]);
  }
}

/** Ctrl-C after so many steps of a setup, which undoes them over the connection that stands. */
export async function cancelSetup({ drill, bare, without }: Lane, steps: number): Promise<void> {
  if (!(await isUndone(drill, steps, ['setup']))) await succeed(drill, 'remove', '--all');
  await drill.expectState(without, bare);
}

/** The same of a removal: all of it is there again. */
export async function cancelRemoval({ drill, with: withEnd }: Lane, steps: number): Promise<void> {
  if ((await drill.sshd()).effective !== withEnd) await succeed(drill, 'setup');
  const whole = drill.snapshot();
  if (await isUndone(drill, steps, ['remove', '--all'])) await drill.expectState(withEnd, whole);
}

/** Only after the last step a Ctrl-C may come too late. */
async function isUndone(drill: Drill, steps: number, words: readonly string[]): Promise<boolean> {
  const { code, stderr } = await drill.cutAfter(steps, 'SIGINT', words);
  if (code === 0 && steps > 10) return false;
  expect([code, stderr]).toEqual([130, expect.stringContaining('Undone: the server is as it was before.')]);
  return true;
}

/** A black hole begins once the drop-in is written: the server alone, by its own timer, puts everything back. */
export async function blackHole({ drill, bare, without }: Lane): Promise<void> {
  const began = performance.now();
  const ended = await drill.cutAfter(9, 'network', ['setup']);
  expect([ended.code, ended.stderr]).toEqual([1, expect.stringMatching(WHEN_LOST)]);
  expect(await drill.isArmed()).toBe(true);
  while (await drill.isArmed()) {
    expect(performance.now() - began).toBeLessThan(100_000);
    await new Promise((resolve) => setTimeout(resolve, 500));
  }
  await drill.server.heal();
  await drill.expectLogins();
  expect(await drill.sshd()).toEqual({ effective: without, unread: '' });
  expect(await drill.traces()).toBe('');
  // Its lock would go by itself, but not for another two minutes.
  await drill.noticeLoss();
  await succeed(drill, 'setup');
  await succeed(drill, 'remove', '--all');
  await drill.expectState(without, bare);
}

/** An add cut off in its middle, each way. */
export async function cutAdd({ drill }: Lane, cut: Cut, steps: number): Promise<void> {
  await succeed(drill, 'setup');
  const before = drill.snapshot();
  const sshd = (await drill.sshd()).effective;
  const add = ['add', 'cam', '--key', '/root/.ssh/id_ed25519.pub'];
  const ended = await drill.cutAfter(steps, cut, add);
  if (cut === 'SIGINT' && ended.code !== 0) {
    expect([ended.code, ended.stderr]).toEqual([130, expect.stringContaining('Undone: the server is as it was before.')]);
    await drill.expectState(sshd, before);
  }
  await succeed(drill, ...add);
  await succeed(drill, 'remove', 'cam');
  await drill.expectState(sshd, before);
}

export async function removeAll({ drill, bare, without }: Lane): Promise<void> {
  await succeed(drill, 'remove', '--all');
  await drill.expectState(without, bare);
}
