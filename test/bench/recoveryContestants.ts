import { CLI } from '../e2e/world.ts';
import { type BenchTunnel, type Pair, SERVER_ADDRESS, TARGET, type Traffic, TRAFFICS } from './recoveryPair.ts';
import { installPackage } from './recoveryPackages.ts';
import { addDevice, type DeviceAccount, makeServerEnd, revokeDevice } from '../e2e/serverEnd.ts';

/** A way to keep a tunnel up. */
export interface Contestant {
  readonly title: string;
  /** Milliseconds for which its ssh has to have lasted before it forgets an earlier failure, and tries again at once after the next. */
  readonly restMs: number;
  /** Sets up both tunnels, at both ends; resolves to them. */
  install(pair: Pair): Promise<readonly BenchTunnel[]>;
  /** Takes the key away from one on the server; what stands already stays. */
  revoke(pair: Pair, tunnel: BenchTunnel): Promise<void>;
}

const PORTS: Readonly<Record<Traffic, number>> = { busy: 22301, idle: 22302 };
const REST_MS = 2000;

/** On an account that an administrator would make for it, with the key in authorized_keys. */
function onStockServer(unitOf: (traffic: Traffic) => string, install: (pair: Pair, tunnels: readonly BenchTunnel[]) => Promise<void>): Omit<Contestant, 'title' | 'restMs'> {
  return {
    install: async (pair) => {
      const tunnels = TRAFFICS.map((traffic) => ({ traffic, port: PORTS[traffic], account: `tunnel-${traffic}`, unit: unitOf(traffic) }));
      for (const { account } of tunnels) {
        await pair.server.succeed(['useradd', '--create-home', '--shell', '/bin/sh', account]);
        await pair.server.authorizeKey(account, pair.publicKey);
      }
      await install(pair, tunnels);
      return tunnels;
    },
    revoke: async ({ server }, { account }) => {
      await server.succeed(['rm', `/home/${account}/.ssh/authorized_keys`]);
    },
  };
}

async function installOurs({ device, fingerprint }: Pair, { traffic, account, port }: BenchTunnel): Promise<void> {
  await device.succeed([
    process.execPath, CLI, 'install', traffic, '--host', `${account}@${SERVER_ADDRESS}`, '--host-key', fingerprint,
    '--remote-port', String(port), '--local-port', String(TARGET.port),
  ], { timeoutMs: 60_000 });
}

const ourUnit = (traffic: Traffic) => `revtun-${traffic}.service`;

const deviceOf = ({ publicKey }: Pair, traffic: Traffic): DeviceAccount => ({ name: traffic, uid: 65_536 + TRAFFICS.indexOf(traffic), port: PORTS[traffic], publicKey });

export const oursWithServerEnd: Contestant = {
  title: "ours, server's end ours",
  restMs: REST_MS,
  install: async (pair) => {
    const tunnels = TRAFFICS.map((traffic) => ({ traffic, port: PORTS[traffic], account: `revtun-${traffic}`, unit: ourUnit(traffic) }));
    await makeServerEnd(pair.server);
    for (const { traffic } of tunnels) await addDevice(pair.server, deviceOf(pair, traffic));
    for (const tunnel of tunnels) await installOurs(pair, tunnel);
    return tunnels;
  },
  revoke: (pair, { traffic }) => revokeDevice(pair.server, deviceOf(pair, traffic)),
};

export const oursOnStockServer: Contestant = {
  title: 'ours, stock server',
  restMs: REST_MS,
  ...onStockServer(ourUnit, async (pair, tunnels) => {
    for (const tunnel of tunnels) await installOurs(pair, tunnel);
  }),
};

/** A unit a tunnel, as root, as most of those that are passed around are. */
function byUnits(prefix: string, lines: (tunnel: BenchTunnel) => string, prepare: (pair: Pair) => Promise<void> = () => Promise.resolve()) {
  return onStockServer((traffic) => `${prefix}-${traffic}.service`, async (pair, tunnels) => {
    await prepare(pair);
    for (const tunnel of tunnels) await pair.device.writeFile(`/etc/systemd/system/${tunnel.unit}`, lines(tunnel));
    await pair.device.succeed(['systemctl', 'enable', '--now', '--quiet', ...tunnels.map(({ unit }) => unit)]);
  });
}

const forwardOf = ({ port }: BenchTunnel) => `${port}:localhost:${TARGET.port}`;

/** -M 0 with ServerAlive 30 and 3 is what its manual and most guides come to; with the three lines that the careful ones add. */
export const autossh: Contestant = {
  title: '`autossh -M 0`',
  restMs: 35_000,
  ...byUnits('autossh', (tunnel) => `[Unit]
Description=AutoSSH tunnel
After=network-online.target
Wants=network-online.target

[Service]
Environment="AUTOSSH_GATETIME=0"
ExecStart=/usr/bin/autossh -M 0 -o "ServerAliveInterval 30" -o "ServerAliveCountMax 3" -o "ExitOnForwardFailure yes" -NR ${forwardOf(tunnel)} ${tunnel.account}@${SERVER_ADDRESS}
Restart=always
RestartSec=5

[Install]
WantedBy=multi-user.target
`, ({ device }) => installPackage(device, 'autossh')),
};

/** https://gist.github.com/drmalex07/c0f9304deea566842490, with -R for its -L as its readers have it. */
export const plainUnit: Contestant = {
  title: 'a plain unit',
  restMs: REST_MS,
  ...byUnits('secure-tunnel', (tunnel) => `[Unit]
Description=Setup a secure tunnel to ${SERVER_ADDRESS}
After=network.target

[Service]
ExecStart=/usr/bin/ssh -NT -o ServerAliveInterval=60 -o ExitOnForwardFailure=yes -R ${forwardOf(tunnel)} ${tunnel.account}@${SERVER_ADDRESS}

# Restart every >2 seconds to avoid StartLimitInterval failure
RestartSec=5
Restart=always

[Install]
WantedBy=multi-user.target
`),
};

/** The package with its own unit and configuration. It knows one tunnel a machine: the second is a copy of its unit. */
export const sidedoor: Contestant = {
  title: 'sidedoor',
  restMs: 35_000,
  ...onStockServer((traffic) => (traffic === 'busy' ? 'sidedoor.service' : 'sidedoor-idle.service'), async ({ device, server }, tunnels) => {
    await installPackage(device, 'sidedoor');
    await device.succeed(['sh', '-c', sidedoorKey]);
    await device.writeFile('/etc/sidedoor/known_hosts', await server.knownHostsLine(SERVER_ADDRESS));
    for (const tunnel of tunnels) {
      const settings = `/etc/default/${tunnel.unit.replace('.service', '')}`;
      await device.writeFile(settings, `OPTIONS='-R ${forwardOf(tunnel)}'\nREMOTE_SERVER=${tunnel.account}@${SERVER_ADDRESS}\n`);
      if (tunnel.unit !== 'sidedoor.service') await device.succeed(['sh', '-c', sidedoorCopy, 'sh', tunnel.unit, settings]);
    }
    const units = tunnels.map(({ unit }) => unit);
    await device.succeed(['systemctl', 'daemon-reload']);
    await device.succeed(['systemctl', 'enable', '--quiet', ...units]);
    await device.succeed(['systemctl', 'restart', ...units]);
  }),
};

const sidedoorKey = 'cat /root/.ssh/id_ed25519 > /etc/sidedoor/id_rsa';
const sidedoorCopy = 'sed "s|^EnvironmentFile=.*|EnvironmentFile=$2|" /lib/systemd/system/sidedoor.service > "/etc/systemd/system/$1"';
