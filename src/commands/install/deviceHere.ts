import { publicKeyOf, withNewKey } from '../../checks/key.ts';
import type { Draft } from '../../input/fields.ts';
import { scopeOf } from '../../input/resolve.ts';
import { accountOf, type Device } from '../../server/device.ts';
import { isDeviceAccount, remoteForwards, type Tunnel } from '../../tunnel/tunnel.ts';
import { findInstalled } from '../../unit/installed.ts';
import { placesOf } from '../../unit/places.ts';
import type { Context } from '../context.ts';
import type { Prepared } from './job.ts';

// What a machine that becomes a device has already: a run that does not speak of it keeps it.

/** A key for the device, wherever it lies for now. */
export interface DeviceKey {
  readonly publicKey: string;
  /** Where it lies, if that is not where a generated one goes. */
  readonly path?: string;
  /** Set when it has yet to be put in place. */
  readonly newKey?: Prepared['newKey'];
}

type Here = Pick<Context, 'machine' | 'who'>;

/** The key that the flags name, that of an earlier run, or a new one. */
export async function withDeviceKey(context: Here, draft: Draft, work: (key: DeviceKey) => Promise<void>): Promise<void> {
  const { machine, who } = context;
  const generated = placesOf(scopeOf(draft, who), draft.name!, who.home).generatedKey;
  const installed = draft.generateKey === true ? undefined : await installedTunnel(context, draft);
  const path = draft.key ?? installed?.identityFile;
  if (path !== undefined && path !== generated) return work({ publicKey: await publicKeyOf(machine, path), path });
  if (await machine.stat(generated)) return work({ publicKey: await publicKeyOf(machine, generated) });
  return withNewKey(machine, draft.name!, (newKey) => work({ publicKey: newKey.publicKey, newKey }));
}

/** Where the device's port leads already, and where it is to lead where nothing is said. */
export async function targetHere(context: Here, draft: Draft, device: Device): Promise<Pick<Draft, 'localHost' | 'localPort'>> {
  if (draft.localHost !== undefined || draft.localPort !== undefined) return {};
  const tunnel = await installedTunnel(context, draft);
  if (tunnel?.user !== accountOf(device.name)) return {};
  const { target } = remoteForwards(tunnel).find(({ listen }) => 'port' in listen && listen.port === device.port) ?? {};
  return target === undefined || target === 'socks' || 'path' in target ? {} : { localHost: target.host ?? 'localhost', localPort: target.port };
}

/** The tunnel of that name, if it logs in as a device. */
async function installedTunnel({ machine, who }: Here, draft: Draft): Promise<Tunnel | undefined> {
  const tunnel = (await findInstalled(machine, scopeOf(draft, who), who)).find(({ name }) => name === draft.name)?.tunnel;
  return tunnel && isDeviceAccount(tunnel.user) ? tunnel : undefined;
}
