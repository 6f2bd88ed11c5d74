import { readPublicKey } from '../../checks/publicKeyFile.ts';
import type { Draft } from '../../input/fields.ts';
import { accountAfterAdd, type DeviceWish, planServerAdd, requireSetUp } from '../../plan/serverDevices.ts';
import { commandLine } from '../../shell.ts';
import { accountOf, type Device, isPublicDevice } from '../../server/device.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import { wrapCommand } from '../../wrap.ts';
import type { Context } from '../context.ts';
import { change, requireKept } from './change.ts';
import { onServer } from './login.ts';
import { hostKeyOf, type Way, wayOf } from './way.ts';

/** What is asked for: the wish, with the key still in its file. */
export interface AddWish extends Omit<DeviceWish, 'publicKey'> {
  readonly keyFile: string;
}

/** Admits one device to one port, and tells what its install needs. */
export async function serverAdd(context: Context, destination: Destination, { keyFile, ...wish }: AddWish, draft: Draft): Promise<void> {
  const publicKey = await readPublicKey(context.machine, keyFile);
  const way = await wayOf(context, destination);
  await onServer(context, destination, draft.dryRun !== true, async (at, state) => {
    requireSetUp(state, formatDestination(destination));
    const { device, steps } = planServerAdd(state, { ...wish, publicKey });
    const hostKey = hostKeyOf(state);
    const made = await change(at, steps, draft);
    if (draft.dryRun !== true) {
      // Only sshd's answer is news: to read all devices again would keep the next add waiting.
      const account = accountAfterAdd(state, device);
      await requireKept(at, { ...state, accounts: new Map(state.accounts).set(account.name, account) }, made, [account.name]);
    }
    const install = installArgv(device, way, hostKey, keyFile);
    tell(at, device, way, install, { unchanged: made.steps.length === 0, dryRun: draft.dryRun === true });
    at.output.object({
      ok: true, changed: made.changed, device: device.name, host: way.host, user: accountOf(device.name), port: way.port,
      remotePort: device.port, hostKey, steps: made.steps, install,
    });
  });
}

/** The whole command for the device. */
function installArgv(device: Device, { host, port, jump }: Way, hostKey: string, keyFile: string): string[] {
  const there = formatDestination({ host, user: accountOf(device.name), ...(port !== 22 && { port }) });
  return [
    'revtun-setup', 'install', '--host', there,
    ...(jump.length === 0 ? [] : ['--jump', jump.map((hop) => formatDestination(hop)).join(',')]),
    '--remote-port', String(device.port),
    ...(device.bind === '127.0.0.1' ? [] : ['--bind', device.bind]),
    ...(isPublicDevice(device) ? ['--accept-risk=public'] : []),
    '--key', keyFile.replace(/\.pub$/, ''), '--host-key', hostKey,
  ];
}

function tell({ output, interactive }: Context, device: Device, { jump, proxyCommand }: Way, install: readonly string[], { unchanged, dryRun }: { unchanged: boolean; dryRun: boolean }): void {
  if (dryRun && !unchanged) return output.progress(`Then ${device.name} may hold port ${device.port} at ${device.bind}.`);
  output.progress(`${device.name} may hold port ${device.port} at ${device.bind}${unchanged ? ': unchanged' : ''}`);
  if (jump.length > 0) output.notice(`From here the server is reached through ${jump.map((hop) => formatDestination(hop)).join(', ')}; leave --jump out where the device gets there straight.`);
  if (proxyCommand !== undefined) output.notice(`From here the server is reached by a ProxyCommand, which the device does not have: ${proxyCommand}`);
  output.progress(`On the device, as root (--key is where the private half lies there):\n${interactive ? wrapCommand(install, '  ') : `  ${commandLine(install)}`}`);
}
