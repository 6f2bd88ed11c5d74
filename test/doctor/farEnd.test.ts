import { expect, test } from '@jest/globals';
import { farEndPart } from '../../src/doctor/farEndPart.ts';
import type { RunResult } from '../../src/machine/machine.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { patientOf, seen } from './patients.ts';

/** What a login says that gets to the port on the server, where nobody listens. */
const NOBODY: RunResult = { code: 255, stdout: '', stderr: 'Authenticated to h\nchannel 0: open failed: connect failed: Connection refused\n', timedOut: false, stopped: false };

/** The far end of a tunnel, where the time for all of it is over before this login. */
async function look(last: number) {
  const time = new AbortController();
  const patient = patientOf({}, { tunnel: exampleTunnel({ release: true, forwards: forwards('-R 127.0.0.1:8080:localhost:80') }) });
  let logins = 0;
  const machine: typeof patient.machine = {
    ...patient.machine,
    dial: async () => ({ outcome: 'connected', banner: '' }),
    run: async (argv, options) => {
      if (argv[0] === '/usr/bin/ssh' && ++logins === last) time.abort();
      if (time.signal.aborted) throw new Error('the time is over');
      return argv[0] === '/usr/bin/ssh' ? NOBODY : patient.machine.run(argv, options);
    },
  };
  return seen(farEndPart, { ...patient, machine, signal: time.signal });
}

test('a fault is looked at twice, and told all the same where there is no time for that', async () => {
  const fault = [{ level: 'fault', finding: 'no-listener', check: 'far end' }];
  expect(await look(3)).toMatchObject({ observations: fault });
  expect(await look(2)).toMatchObject({ observations: fault });
  await expect(look(1)).rejects.toThrow('the time is over');
});
