import { CLI } from '../e2e/world.ts';
import type { Measurer } from './measurer.ts';
import { compare, ms, type Result } from './result.ts';
import { interleave } from './series.ts';

const ROUNDS = 21;

/**
 * What our program costs beside a bare Node.
 * @param install arguments of an install that has been done, and so changes nothing
 */
export async function measureStartUp(device: Measurer, install: readonly string[]): Promise<Result[]> {
  const time = (...argv: string[]) => async () => {
    const { started, ended } = await device.call('time', [process.execPath, ...argv]);
    return ended - started;
  };
  const render = ['render', 'home', '--host', 'server.test', '--remote-port', '22222', '--key', '/root/.ssh/id_ed25519'];
  const found = await interleave(ROUNDS, {
    bare: time('-e', '0'),
    version: time(CLI, '--version'),
    help: time(CLI, '--help'),
    render: time(CLI, ...render),
    unchanged: time(CLI, ...install),
    unverified: time(CLI, ...install, '--no-verify'),
  });
  const against = { against: found.bare, show: ms, best: 'least' } as const;
  return [
    compare({ what: '`--version` : `node -e 0`', ours: found.version, ...against, aim: { bound: 'at most', ratio: 1.2 } }),
    compare({ what: '`--help` : `node -e 0`', ours: found.help, ...against }),
    compare({ what: '`render` : `node -e 0`', ours: found.render, ...against, aim: { bound: 'at most', ratio: 2 } }),
    compare({ what: 'an install that changes nothing, with proof : `node -e 0`', ours: found.unchanged, ...against }),
    compare({ what: 'the same with `--no-verify` : `node -e 0`', ours: found.unverified, ...against }),
  ];
}
