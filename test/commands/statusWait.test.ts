import { expect, test } from '@jest/globals';
import type { Context } from '../../src/commands/context.ts';
import { statusWait } from '../../src/commands/status/wait.ts';
import type { Machine } from '../../src/machine/machine.ts';
import { makeOutput } from '../../src/output.ts';
import { patientOf, root } from '../doctor/patients.ts';

const UNHEARD = { write: () => true } as unknown as NodeJS.WriteStream;

/** Seconds that a wait of one second takes, and what it ends with. */
async function waitWith(changes: (machine: Machine) => Partial<Machine>) {
  const { machine } = patientOf();
  const context: Context = {
    machine: { ...machine, ...changes(machine) }, who: root, output: makeOutput(false, true, UNHEARD, UNHEARD), cwd: '/', typed: ['revtun-setup'], signal: new AbortController().signal, interactive: false,
  };
  const begun = performance.now();
  const error: unknown = await statusWait(context, 'home', {}, 1).then(() => undefined, (thrown: unknown) => thrown);
  return { error, seconds: (performance.now() - begun) / 1000 };
}

const never = () => new Promise<never>(() => undefined);

test.each<[string, (machine: Machine) => Partial<Machine>, string]>([
  ['systemd', (machine) => ({ run: (argv, options) => (argv[0] === 'systemctl' ? never() : machine.run(argv, options)) }), 'systemd does not answer'],
  ['the journal', (machine) => ({ run: (argv, options) => (argv[0] === 'journalctl' ? never() : machine.run(argv, options)) }), 'systemd does not answer'],
  ['the key', (machine) => ({ read: (path) => (path.includes('id_ed25519') ? never() : machine.read(path)) }), 'is up, and not proven yet'],
])('where %s never answers, a wait ends with its time all the same', async (_what, changes, says) => {
  const { error, seconds } = await waitWith(changes);
  expect(error).toMatchObject({ id: 'not-proven-in-time', message: expect.stringContaining(says) });
  expect(seconds).toBeLessThan(2);
});
