import { disposable } from './cleanup.ts';
import { makeDisk, type Release } from './disk.ts';
import { makeHost, type Host } from './host.ts';
import { makeNetwork, type Network, type Side } from './network.ts';
import { openSandbox, type Sandbox } from './sandbox.ts';

export type HostPlan = {
  /** 'nat': behind a home router of its own, unreachable from outside. Default: 'public'. */
  side?: Side;
  /** Default: this machine's own system. */
  release?: Release;
  /** Whether the user pi may become root without a password. Default: true. */
  sudo?: boolean;
  /** Whether to boot it at once. Default: true. */
  on?: boolean;
};

export type Lab<Name extends string> = {
  hosts: Record<Name, Host>;
  network: Network;
  sandbox: Sandbox;
  dispose: () => Promise<void>;
};

/**
 * Boots hosts that are joined by a little internet, e.g. `startLab({ device: { side: 'nat' }, server: {} })`.
 * Every host knows the public ones (and itself) as `<name>`, `<name>.test`, `<name>4.test` and `<name>6.test`.
 */
export async function startLab<const Name extends string>(plans: Readonly<Record<Name, HostPlan>>): Promise<Lab<Name>> {
  const names = Object.keys(plans) as Name[];
  for (const name of names) {
    // A network interface is called `to-<name>`, and the kernel allows 15 characters.
    if (!/^[a-z][a-z0-9]{0,11}$/.test(name)) throw new Error(`not a name for a lab host: ${name}`);
  }
  const sandbox = await openSandbox({ network: 'private' });
  const dispose = disposable(() => sandbox.dispose());
  try {
    const sides = Object.fromEntries(names.map((name) => [name, plans[name].side ?? 'public']));
    const network = await makeNetwork(sandbox, sides);
    const made = await Promise.all(
      names.map(async (name) => {
        const { release = 'host', sudo = true, on = true } = plans[name];
        const known = names.filter((other) => other === name || sides[other] === 'public');
        const hosts = hostsFile(name, known, network);
        const disk = await makeDisk(sandbox, name, release, { hostname: name, hosts, sudo });
        const host = makeHost({ name, sandbox, network, disk });
        if (on) await host.powerOn();
        return [name, host] as const;
      }),
    );
    return { hosts: Object.fromEntries(made) as Record<Name, Host>, network, sandbox, dispose };
  } catch (error) {
    await dispose();
    throw error;
  }
}

function hostsFile(self: string, known: readonly string[], network: Network): string {
  const lines = ['127.0.0.1 localhost', '::1 localhost ip6-localhost ip6-loopback'];
  for (const name of known) {
    const { v4, v6 } = network.addressesOf(name);
    lines.push(`${v4} ${name}.test ${name} ${name}4.test`, `${v6} ${name}.test ${name} ${name}6.test`);
  }
  if (!known.includes(self)) lines.push(`127.0.1.1 ${self}`);
  return lines.map((line) => `${line}\n`).join('');
}
