import { expect, test } from '@jest/globals';
import type { Context } from '../../src/commands/context.ts';
import { examination, findSubject } from '../../src/commands/doctor/examination.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { makeOutput } from '../../src/output.ts';
import { patientOf, root, shows } from '../doctor/patients.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

const UNHEARD = { write: () => true } as unknown as NodeJS.WriteStream;

const contextOf = (machine: Machine): Context => ({
  machine, who: root, output: makeOutput(false, true, UNHEARD, UNHEARD), cwd: '/', typed: ['revtun-setup'], signal: new AbortController().signal, interactive: false,
});

test('directories on a file system that does not answer are said to be so', async () => {
  const { machine } = patientOf();
  const never = () => new Promise<never>(() => undefined);
  await expect(findSubject(contextOf({ ...machine, run: never, list: never }), undefined, {})).rejects.toMatchObject({ id: 'files-silent' });
}, 15_000);

test('a service that is down by the time of the last word has it, even where the server lets it in', async () => {
  const { machine, installed } = patientOf({ says: {
    'systemctl --version': 'systemd 252 (252.39)\n', '/usr/bin/ssh -V': { stderr: 'OpenSSH_9.2p1 Debian-2\n' },
    '/usr/bin/ssh': { code: 128, stderr: 'debug1: Entering interactive session.\n', stopped: true },
  }, files: { '/run/systemd/system': { kind: 'directory' } } }, { tunnel: exampleTunnel({ forwards: forwards('-R /run/pi/ssh.sock:localhost:22') }) });
  let isLoggedIn = false;
  const run: Machine['run'] = (argv, options) => {
    isLoggedIn ||= argv[0] === 'journalctl' && argv.includes('--since');
    return isLoggedIn && argv[1] === 'show' ? Promise.resolve({ code: 0, stdout: shows({ ActiveState: 'failed' }), stderr: '', timedOut: false, stopped: false }) : machine.run(argv, options);
  };
  const dial: Machine['dial'] = () => Promise.resolve({ outcome: 'connected', banner: 'SSH-2.0-x' });
  const seen = await examination(contextOf({ ...machine, run, dial }), installed);
  expect(seen.filter(({ level }) => level === 'fault')).toMatchObject([{ finding: 'not-up' }]);
  expect(seen.at(-1)).toMatchObject({ finding: 'not-up' });
});
