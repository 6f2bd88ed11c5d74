import type { Sandbox } from './sandbox.ts';
import { waitFor } from './waitFor.ts';

/** Which side of a home router a host stands on. */
export type Side = 'public' | 'nat';

/** The addresses of a host and of the way to it; `index` makes them its own. */
export type Addresses = {
  /** What others reach (or, behind NAT, would like to reach) the host by. */
  v4: string;
  v6: string;
};

export type Family = 4 | 6;

/**
 * A little internet. The sandbox's own network namespace is the internet's router; every public host hangs on it by a cable,
 * every host behind NAT by a home router (a namespace of its own) which masquerades IPv4 and lets in neither IPv4 nor IPv6
 * that nobody inside asked for.
 */
export type Network = {
  addressesOf: (host: string) => Addresses;
  /** Makes the host's network namespace and plugs it in. Returns the namespace's file as seen inside the sandbox. */
  attach: (host: string) => Promise<string>;
  /** Cuts the cable: nothing that the host's kernel may still want to say gets out. */
  cut: (host: string) => Promise<void>;
  /** Throws the host's network namespace away, and its sockets with it. */
  remove: (host: string) => Promise<void>;
  /** Drops all packets from and to the host without a word, at the internet's router; of one address family if one is given. */
  blackhole: (host: string, family?: Family) => Promise<void>;
  /** Drops packets to a TCP port of the host without a word. */
  dropTo: (host: string, port: number) => Promise<void>;
  /** Ends all faults that were made for the host, a pulled plug included. */
  heal: (host: string) => Promise<void>;
  /** Takes the host's carrier away: its interface stays, but without a cable. */
  unplug: (host: string) => Promise<void>;
  plug: (host: string) => Promise<void>;
  /** Gives the host's home router another IPv4 address, as a nightly reconnect does; it forgets its old connections. */
  renat: (host: string) => Promise<string>;
};

const internetRules = `
table inet faults {
  set muted { type nf_proto . ifname; }
  set closed { type ifname . inet_service; }
  chain forward {
    type filter hook forward priority 0; policy accept;
    meta nfproto . iifname @muted drop
    meta nfproto . oifname @muted drop
    oifname . tcp dport @closed drop
  }
}
`;

const homeRules = `
table inet home {
  chain masquerading {
    type nat hook postrouting priority 100;
    meta nfproto ipv4 oifname "wan" masquerade
  }
  chain forward {
    type filter hook forward priority 0; policy drop;
    ct state established,related accept
    iifname "lan" accept
  }
  chain input {
    type filter hook input priority 0; policy accept;
    iifname "wan" meta l4proto { tcp, udp } drop
  }
}
`;

/** Makes the internet, with a place for each of the named hosts; none is attached yet. */
export async function makeNetwork(sandbox: Sandbox, sides: Readonly<Record<string, Side>>): Promise<Network> {
  const names = Object.keys(sides);
  const natAddresses = new Map<string, string>();
  const attached = new Set<string>();
  let cutCables = 0;
  const placeOf = (host: string) => {
    const index = names.indexOf(host) + 1;
    if (index === 0) throw new Error(`no host "${host}" in this lab; it has ${names.join(', ')}`);
    return place(host, index, sides[host] ?? 'public');
  };
  const batch = (lines: readonly string[], namespace?: string) => {
    return sandbox.succeed([...ip(namespace), '-batch', '-'], { input: lines.join('\n') });
  };
  const nft = (rules: string, namespace?: string) => {
    const where = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    return sandbox.succeed([...where, 'nft', '-f', '-'], { input: rules });
  };
  const routes = async (namespace?: string) => {
    const where = namespace === undefined ? [] : ['ip', 'netns', 'exec', namespace];
    await sandbox.succeed([...where, 'sh', '-c', routerSettings]);
  };

  await routes();
  await batch(['link set lo up', ...names.flatMap((host) => silentWhenCut(placeOf(host).outer))]);
  await nft(internetRules);
  for (const host of names) {
    const { side, outer, inner, home, plug } = placeOf(host);
    if (side === 'public') continue;
    natAddresses.set(host, outer.host4);
    await sandbox.succeed(['ip', 'netns', 'add', home]);
    await routes(home);
    await batch([
      veth(plug, 'wan', home),
      ...addressed(plug, outer.router4, outer.router6),
      `route add ${inner.net6} via ${outer.host6}`,
    ]);
    await batch(
      [
        'link set lo up',
        ...addressed('wan', outer.host4, outer.host6),
        `route add default via ${outer.router4}`,
        `route add default via ${outer.router6}`,
        ...silentWhenCut(inner),
      ],
      home,
    );
    await nft(homeRules, home);
  }

  const faultElements = (host: string, family?: Family) => {
    const { plug } = placeOf(host);
    const families = family === undefined ? ['ipv4', 'ipv6'] : [`ipv${family}`];
    return families.map((each) => `${each} . "${plug}"`).join(', ');
  };
  /** The router's end of the cable that leads to the host itself, and the namespace it is in. */
  const cableOf = (host: string) => {
    const { side, home, plug } = placeOf(host);
    return side === 'public' ? { link: plug, namespace: undefined } : { link: 'lan', namespace: home };
  };
  const carrier = async (host: string, state: 'up' | 'down') => {
    const { link, namespace } = cableOf(host);
    if (attached.has(host)) await batch([`link set ${link} ${state}`], namespace);
  };

  return {
    addressesOf: (host) => {
      const { side, outer, inner } = placeOf(host);
      return side === 'public' ? { v4: outer.host4, v6: outer.host6 } : { v4: inner.host4, v6: inner.host6 };
    },
    attach: async (host) => {
      const { side, outer, inner } = placeOf(host);
      const near = side === 'public' ? outer : inner;
      const { link, namespace } = cableOf(host);
      await sandbox.succeed(['ip', 'netns', 'add', host]);
      await batch([veth(link, 'eth0', host), ...addressed(link, near.router4, near.router6)], namespace);
      await batch(
        [
          'link set lo up',
          ...addressed('eth0', near.host4, near.host6),
          `route add default via ${near.router4}`,
          `route add default via ${near.router6}`,
        ],
        host,
      );
      await waitFor(async () => (await sandbox.succeed([...ip(namespace), '-o', 'link', 'show', link])).includes('state UP'), {
        everyMs: 10,
        what: `the cable of ${host}`,
      });
      attached.add(host);
      return `/run/netns/${host}`;
    },
    cut: async (host) => {
      attached.delete(host);
      const { link, namespace } = cableOf(host);
      // Not deleted: that waits a second or two for the kernel to let go of it. It goes with the host's namespace.
      cutCables += 1;
      const scrap = `cut${cutCables}`;
      await batch([`link set ${link} down`, `addr flush dev ${link}`, `link set ${link} name ${scrap}`], namespace);
    },
    remove: async (host) => {
      await sandbox.succeed(['ip', 'netns', 'del', host]);
    },
    blackhole: async (host, family) => {
      await nft(`add element inet faults muted { ${faultElements(host, family)} }`);
    },
    dropTo: async (host, port) => {
      await nft(`add element inet faults closed { "${placeOf(host).plug}" . ${port} }`);
    },
    heal: async (host) => {
      await carrier(host, 'up');
      await nft(await withoutFaultsOf(placeOf(host).plug));
    },
    unplug: (host) => carrier(host, 'down'),
    plug: (host) => carrier(host, 'up'),
    renat: async (host) => {
      const { outer, home } = placeOf(host);
      const old = natAddresses.get(host);
      if (old === undefined) throw new Error(`${host} is not behind NAT`);
      const next = nextNatAddress(old);
      natAddresses.set(host, next);
      // Masquerading forgets its connections when the address they went out by is taken away.
      await batch(
        [`addr del ${old}/24 dev wan`, `addr add ${next}/24 dev wan`, `route replace default via ${outer.router4}`],
        home,
      );
      return next;
    },
  };

  /** The nft commands that take all fault rules about one cable away, and no other. */
  async function withoutFaultsOf(plug: string): Promise<string> {
    const listing = JSON.parse(await sandbox.succeed(['nft', '-j', 'list', 'sets'])) as {
      nftables: { set?: { name: string; elem?: { concat: (string | number)[] }[] } }[];
    };
    return listing.nftables
      .flatMap(({ set }) => (set?.elem ?? []).map(({ concat }) => ({ set: set?.name ?? '', concat })))
      .filter(({ concat }) => concat.includes(plug))
      .map(({ set, concat }) => {
        const key = concat.map((part) => (part === plug ? `"${part}"` : part)).join(' . ');
        return `delete element inet faults ${set} { ${key} }`;
      })
      .join('\n');
  }
}

/** `ip` in a network namespace, or in the sandbox's own: the internet's router. */
function ip(namespace: string | undefined): string[] {
  return namespace === undefined ? ['ip'] : ['ip', '-n', namespace];
}

// keep_addr_on_down: an IPv6 address would not survive a pulled plug; accept_dad: waiting for duplicates takes a second.
const routerSettings = `
cd /proc/sys/net
echo 1 > ipv4/ip_forward
echo 1 > ipv6/conf/all/forwarding
echo 1 > ipv6/conf/all/keep_addr_on_down
echo 0 > ipv6/conf/default/accept_dad
`;

type Subnet = { net4: string; router4: string; host4: string; net6: string; router6: string; host6: string };

/** Where a host hangs: `outer` is the subnet at the internet's router, `inner` the one behind its home router. */
function place(host: string, index: number, side: Side) {
  return {
    side,
    plug: `to-${host}`,
    home: `${host}-home`,
    outer: subnet(`198.18.${index}`, `2001:db8:${index}`),
    inner: subnet(`192.168.${index}`, `2001:db8:${100 + index}`),
  };
}

function subnet(prefix4: string, prefix6: string): Subnet {
  return {
    net4: `${prefix4}.0/24`,
    router4: `${prefix4}.1`,
    host4: `${prefix4}.2`,
    net6: `${prefix6}::/64`,
    router6: `${prefix6}::1`,
    host6: `${prefix6}::2`,
  };
}

/**
 * A cable between a router and another namespace. The kernel tells its two ends apart by their index numbers only; where these
 * happen to be equal it may take a second until it passes packets. So the routers' ends get numbers of their own.
 */
function veth(link: string, far: string, farNamespace: string): string {
  nextIndex += 1;
  return `link add ${link} index ${nextIndex} type veth peer name ${far} netns ${farNamespace}`;
}

let nextIndex = 1000;

function addressed(link: string, v4: string, v6: string): string[] {
  return [`addr add ${v4}/24 dev ${link}`, `addr add ${v6}/64 dev ${link} nodad`, `link set ${link} up`];
}

/** While a host's cable is gone, packets to it vanish, as they do for a machine without power: no "unreachable" comes back. */
function silentWhenCut({ net4, net6 }: Subnet): string[] {
  return [`route add blackhole ${net4} metric 9999`, `route add blackhole ${net6} metric 9999`];
}

function nextNatAddress(address: string): string {
  const [a, b, c, d] = address.split('.').map(Number);
  return [a, b, c, d === 254 ? 2 : (d ?? 0) + 1].join('.');
}
