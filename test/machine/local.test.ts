import { expect, test } from '@jest/globals';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { type AddressInfo, createServer } from 'node:net';
import { dirname, join } from 'node:path';
import type { Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
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

test.each<[string, string, string, boolean]>([
  // No process has that number: 2^22 is the kernel's limit.
  ['what a killed run left', 'revtun_99999999-aB3dE6', 'key', false],
  ['what a killed run of an earlier version left', 'revtun-99999998-aB3dE6', 'ssh_config', false],
  ['the runtime directory of a tunnel called 99999999-office', 'revtun-99999999-office', 'up', true],
  ['what a run at work has', `revtun_${process.pid}-aB3dE6`, 'key', true],
])('a new temporary directory, and %s', async (_, name, file, stays) => {
  const first = await local.temporaryDirectory();
  const other = join(dirname(first), name);
  try {
    mkdirSync(other);
    writeFileSync(join(other, file), '');
    await local.removeTree(await local.temporaryDirectory());
    expect(existsSync(join(other, file))).toBe(stays);
  } finally {
    for (const path of [first, other]) rmSync(path, { recursive: true, force: true });
  }
});

test('whoever connects has a time of its own for the first words', async () => {
  const mute = createServer().listen(0, '127.0.0.1');
  try {
    await once(mute, 'listening');
    const begun = Date.now();
    expect(await local.dial({ host: '127.0.0.1', port: (mute.address() as AddressInfo).port }, 20_000, 100)).toMatchObject({ outcome: 'connected', banner: '' });
    expect(Date.now() - begun).toBeLessThan(4000);
  } finally {
    mute.close();
  }
});

test('a file of the kernel about what has ended meanwhile is absent', async () => {
  // Nobody has waited for it yet: its files are there, and reading this one says ESRCH, as a file does that was opened in time.
  // It ends when its parent is a program that waits for nobody: the shell might.
  const parent = spawn('sh', ['-c', 'cat <&3 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  try {
    const [pid] = (await once(parent.stdout!, 'data')) as [Buffer];
    const path = `/proc/${String(pid).trim()}/smaps_rollup`;
    while (String(await local.read(`/proc/${parent.pid}/comm`)) !== 'sleep\n') await sleep(10);
    (parent.stdio[3] as Writable).end();
    while (!String(await local.read(dirname(path) + '/stat')).includes(') Z ')) await sleep(10);
    expect([(await local.stat(path))?.kind, await local.read(path)]).toEqual(['file', undefined]);
  } finally {
    parent.kill();
  }
});
