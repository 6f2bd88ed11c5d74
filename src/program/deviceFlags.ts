import { Option } from 'commander';
import type { Context } from '../commands/context.ts';
import type { AddWish } from '../commands/server/add.ts';
import { usage } from '../errors.ts';
import { type Draft, fieldOf } from '../input/fields.ts';
import { parseDeviceName } from '../server/device.ts';
import { read } from './values.ts';

// What `server add` and `server script add` are told of a device.

/** Texts of the flags, as commander hands them over. */
export interface DeviceFlags {
  readonly key?: string;
  readonly bind?: string;
}

export const keyOption = () => new Option('--key <FILE.pub>', "the public half of the device's key");
export const bindOption = () => new Option('--bind <ADDR>', 'where the port listens (default 127.0.0.1; * = everyone)');

/** What is asked for of `add`, with every value read. */
export function wishOf({ cwd, who }: Context, device: string, { key, bind }: DeviceFlags, draft: Draft): AddWish {
  if (key === undefined) throw usage("--key is missing: the public half of the device's key, a file that ends in .pub.", 'To make one on the device: ssh-keygen -t ed25519');
  const home = { cwd, home: who.home };
  return {
    name: read('DEVICE', device, parseDeviceName),
    keyFile: read('--key', key, (text) => fieldOf('key').parse!(text, home) as string),
    ...(draft.remotePort !== undefined && { port: draft.remotePort }),
    ...(bind !== undefined && { bind: read('--bind', bind, (text) => fieldOf('bind').parse!(text, home) as string) }),
    ...(draft.acceptRisk && { acceptRisk: draft.acceptRisk }),
  };
}
