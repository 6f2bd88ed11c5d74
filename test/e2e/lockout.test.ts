import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { type Lab, startLab } from '../lab/hosts.ts';
import { type Drill, startDrill } from './drill.ts';
import { blackHole, cancelRemoval, cancelSetup, cutAdd, cutAndGoOn, type Lane, removeAll, startLane } from './lockoutCuts.ts';
import {
  brokenBefore, brokenMeanwhile, failingAdd, full, fullRun, lockedOutMeanwhile, noTimer, places, readOnly, RELOADS, reloading, timerFiresFirst, unreadBefore, unreadBeforeRemoval,
} from './lockoutFaults.ts';

/**
 * After how many of their twelve steps a setup and its removal are cut off: where sshd is not touched yet, and then after
 * each step that has to do with it. A setup comes to those last (8: the script, 9: armed, 10: changed, 11: logged in, 12:
 * kept), a removal first (1 to 5).
 */
const CUTS = [[9, 3], [10, 4], [11, 5]] as const;

type Rows = readonly (readonly [name: string, work: (lane: Lane) => Promise<void>])[];

const LOCKING = ['AllowUsers somebody', 'ListenAddress 203.0.113.7'] as const;

const faults: Rows = [
  ['a broken setting that is there before', brokenBefore],
  ...LOCKING.map((line) => [`"${line}" that sshd has not read yet`, unreadBefore(line)] as const),
  ['a read-only directory of settings', readOnly(places.configuration)],
  ['a full disk at the settings', full(places.configuration)],
];

const cuts = (cut: 'connection' | 'SIGKILL'): Rows =>
  CUTS.map(([setup, removal]) => [`after ${setup} steps of a setup, and ${removal} of a removal`, (lane) => cutAndGoOn(lane, cut, setup, removal)]);

/** What happens to each server, row by row; the servers at the same time. */
const SERVERS = {
  lost: { login: 'root', includes: false, title: 'the connection is lost', rows: cuts('connection') },
  killed: { login: 'pi', includes: true, title: 'the program is killed', rows: cuts('SIGKILL') },
  stopped: {
    login: 'pi', includes: false, title: 'Ctrl-C, or a fault, with sudo and without drop-ins',
    rows: [
      ...faults,
      ...CUTS.map(([n]) => [`Ctrl-C after ${n} steps of a setup`, (lane: Lane) => cancelSetup(lane, n)] as const),
      ...CUTS.map(([, n]) => [`Ctrl-C after ${n} steps of a removal`, (lane: Lane) => cancelRemoval(lane, n)] as const),
      ['a removal, at last', removeAll],
    ],
  },
  faulty: {
    login: 'root', includes: true, title: 'a fault',
    rows: [
      ...faults,
      ['an edit that sshd has not read yet, at a removal', unreadBeforeRemoval(LOCKING[0])],
      ['a read-only /etc', readOnly(places.etc)],
      ['a full disk at /etc', full(places.etc)],
      ['a setting that breaks meanwhile', brokenMeanwhile],
      ...LOCKING.map((line) => [`"${line}" that comes meanwhile`, lockedOutMeanwhile(line)] as const),
      ['a full disk at the script', full(places.library)],
      ['a full disk at the units', full(places.units)],
      ['no room in /run', fullRun],
      ['no timer', noTimer],
      ['a timer that fires before the change', timerFiresFirst],
      ['a reload that fails', reloading(RELOADS.fails, /reload: injected/)],
      ['a reload that does nothing', reloading(RELOADS.doesNothing, /it still listens as before/)],
      ['a reload that ends sshd', reloading(RELOADS.endsSshd, /sshd does not listen any more/)],
      ['a reload that fails once', reloading(RELOADS.failsOnce, /reload: injected/)],
      ['a reload that is done, and said to have failed', reloading(RELOADS.isDoneButFails, /reload: injected/)],
      ['a configuration that refuses logins', reloading(RELOADS.refusesLogins, /does not let this login in/, 4)],
      ['an add that fails', failingAdd],
      ...(['SIGINT', 'SIGKILL', 'connection'] as const).flatMap((cut) => [1, 2].map((n) => [`an add cut off by ${cut} after ${n} steps`, (lane: Lane) => cutAdd(lane, cut, n)] as const)),
    ],
  },
  silent: { login: 'pi', includes: true, title: 'a black hole', rows: [['for more than a minute', blackHole]] },
} as const satisfies Record<string, { login: 'root' | 'pi'; includes: boolean; title: string; rows: Rows }>;

type Name = keyof typeof SERVERS;
const names = Object.keys(SERVERS) as Name[];

let lab: Lab<Name | 'admin'>;
const drills: Drill[] = [];
const outcomes = new Map<string, Promise<void>>();

beforeAll(async () => {
  lab = await startLab({ admin: {}, ...(Object.fromEntries(names.map((name) => [name, {}])) as Record<Name, object>) });
  const { admin } = lab.hosts;
  await admin.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519']);
  const key = await admin.readFile('/root/.ssh/id_ed25519.pub');
  await admin.writeFile('/root/.ssh/known_hosts', (await Promise.all(names.map((name) => lab.hosts[name].knownHostsLine()))).join(''));
  for (const name of names) {
    const { login, includes, rows } = SERVERS[name];
    const server = lab.hosts[name];
    await server.authorizeKey(login, key);
    const drill = await startDrill({ admin, server, login, includes });
    drills.push(drill);
    const lane = startLane(drill);
    let last: Promise<unknown> = lane;
    for (const [row, work] of rows as Rows) {
      const outcome = last.then(async () => work(await lane));
      outcomes.set(`${name} ${row}`, outcome);
      last = outcome.catch(() => undefined);
    }
  }
}, 180_000);
afterAll(async () => {
  await Promise.all(drills.map((drill) => drill.close()));
  await lab?.dispose();
});

describe.each(names)('where %s', (name) => {
  test.each(SERVERS[name].rows.map(([row]) => row))(`${SERVERS[name].title}: %s`, async (row) => {
    await expect(outcomes.get(`${name} ${row}`)).resolves.toBeUndefined();
  }, 300_000);
});
