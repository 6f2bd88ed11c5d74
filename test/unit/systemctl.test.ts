import { expect, test } from '@jest/globals';
import { local } from '../../src/machine/local.ts';
import type { Identity, Machine, RunOptions } from '../../src/machine/machine.ts';
import { journalctlArgv, systemctl } from '../../src/unit/systemctl.ts';

const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: { XDG_RUNTIME_DIR: '/run/user/1000' } };
const bare: Identity = { ...ann, env: {} };

/** Stands in for a manager that nobody here can have: one that answers just this. */
function answering(stdout: string, calls: { argv: readonly string[]; options: RunOptions | undefined }[] = []): Machine {
  return {
    ...local,
    run: async (argv, options) => {
      calls.push({ argv, options });
      return { code: 0, stdout, stderr: '', timedOut: false, stopped: false };
    },
  };
}

test.each([
  ['system', ann, ['systemctl', 'stop', '--', 'x']],
  ['user', ann, ['systemctl', '--user', 'stop', '--', 'x']],
  ['user', bare, ['env', 'XDG_RUNTIME_DIR=/run/user/1000', 'systemctl', '--user', 'stop', '--', 'x']],
  ['system', bare, ['systemctl', 'stop', '--', 'x']],
] as const)('the %s manager of %j', (scope, who, argv) => {
  expect(systemctl(local, scope, who).argv('stop', '--', 'x')).toEqual(argv);
});

test('the journal of the same manager', () => {
  expect(journalctlArgv('system', ann, 'x.service', '-n', '5')).toEqual(['journalctl', '-u', 'x.service', '-n', '5']);
  expect(journalctlArgv('user', bare, 'x.service')).toEqual(['env', 'XDG_RUNTIME_DIR=/run/user/1000', 'journalctl', '--user', '-u', 'x.service']);
});

test('properties come by name, whatever their order, with = in their values', async () => {
  const calls: { argv: readonly string[]; options: RunOptions | undefined }[] = [];
  const machine = answering('Description=a=b\nActiveState=active\n', calls);
  expect(await systemctl(machine, 'system', ann).show('x.service', ['ActiveState', 'Description', 'Result'])).toEqual({ ActiveState: 'active', Description: 'a=b', Result: '' });
  expect(calls[0]?.argv).toEqual(['systemctl', 'show', '-p', 'ActiveState,Description,Result', '--', 'x.service']);
  expect(calls[0]?.options).toMatchObject({ env: { TZ: 'UTC' } });
});
