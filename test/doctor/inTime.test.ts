import { expect, test } from '@jest/globals';
import { CutShort, inTime } from '../../src/doctor/inTime.ts';
import { lastWord } from '../../src/doctor/lastWord.ts';
import { keyPart } from '../../src/doctor/keyPart.ts';
import { examine } from '../../src/doctor/examine.ts';
import type { Observation } from '../../src/doctor/observation.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { patientOf, shows } from './patients.ts';

const never = () => new Promise<never>(() => undefined);
const hung = (machine: Machine): Machine => ({ ...machine, run: never, read: never, stat: never, list: never, dial: never });
const soon = () => AbortSignal.timeout(50);

test.each<[string, (machine: Machine) => Promise<unknown>]>([
  ['a program', (machine) => machine.run(['true'])],
  ['a file', (machine) => machine.read('/etc/hosts')],
  ['a file of the kernel', (machine) => machine.read('/proc/uptime')],
  ['what lies at a path', (machine) => machine.stat('/etc/hosts')],
  ['a directory', (machine) => machine.list('/etc')],
  ['a connection', (machine) => machine.dial({ host: 'h', port: 22 }, 60_000)],
])('%s that never answers ends with the time', async (_what, ask) => {
  const { machine } = patientOf();
  await expect(ask(inTime(hung(machine), soon()))).rejects.toBeInstanceOf(CutShort);
  await expect(ask(inTime(machine, AbortSignal.abort()))).rejects.toBeInstanceOf(CutShort);
});

test('a file is left alone where a program gets no word of it: nothing could end that any more', async () => {
  const { machine } = patientOf();
  let reads = 0;
  const read = (path: string) => {
    reads += 1;
    return machine.read(path);
  };
  await expect(inTime({ ...machine, run: never, read }, soon()).read('/nfs/key')).rejects.toBeInstanceOf(CutShort);
  expect(reads).toBe(0);
});

test('a key that cannot be read for want of time is not known, and no fault', async () => {
  const patient = patientOf();
  const end = soon();
  const told: Observation[] = [];
  for await (const one of examine({ ...patient, machine: inTime(hung(patient.machine), end) }, [['key', keyPart]], end)) told.push(one);
  expect(told).toEqual([{ check: 'key', level: 'unknown', says: 'no answer within the time for all of it' }]);
});

test('the last word is said without the journal where that takes too long', async () => {
  const patient = patientOf({ says: { 'systemctl show': shows({ ActiveState: 'failed' }) } });
  const run: Machine['run'] = (argv, options) => (argv[0] === 'journalctl' ? never() : patient.machine.run(argv, options));
  const last = await lastWord({ ...patient, machine: inTime({ ...patient.machine, run }, soon()) }, 0);
  expect(last).toMatchObject({ finding: 'not-up', says: expect.not.stringContaining('last reason') });
});
