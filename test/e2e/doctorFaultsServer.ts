import { waitFor } from '../lab/waitFor.ts';
import { acceptKeys, bringSshdBack, endServer, filterOn, KEYS, openFilter, runServer } from './doctorMeans.ts';
import type { FaultThere } from './doctorRows.ts';
import type { World } from './world.ts';

type Far = World<'clone'>;
type Row = FaultThere<'clone'>;

/** A socket on the device that one of the tunnels leads to. */
export const BUS = '/srv/bus.sock';

/** From which port on anyone may listen on the server (ip(7)); its own /proc/sys is read-only. */
export const lowestFreePort = ({ sandbox }: Far, port: number) =>
  sandbox.succeed(['ip', 'netns', 'exec', 'server', 'sh', '-c', `echo ${port} > /proc/sys/net/ipv4/ip_unprivileged_port_start`]);

const configured = (text: string) => ({ spoil: ({ server }: Far) => server.sshdConfig(text), mend: ({ server }: Far) => server.sshdConfig('') });
const keyLine = (options: string) => ({ spoil: (world: Far) => acceptKeys(world, world.server, options), mend: (world: Far) => acceptKeys(world, world.server) });
const onServer = (spoil: readonly string[], mend: readonly string[]) => ({ spoil: ({ server }: Far) => server.succeed(spoil), mend: ({ server }: Far) => server.succeed(mend) });

const LOGIN: readonly Row[] = [
  { name: 'the key is not authorized any more', finding: 'key-refused', spoil: ({ server }) => server.writeFile(KEYS, '', { owner: 'pi', mode: 0o600 }), mend: (world) => acceptKeys(world, world.server) },
  { name: 'sshd does not trust a key file that everyone may write', finding: 'key-refused', ...onServer(['chmod', '666', KEYS], ['chmod', '600', KEYS]) },
  { name: 'sshd does not trust a home that everyone may write', finding: 'key-refused', ...onServer(['chmod', '777', '/home/pi'], ['chmod', '755', '/home/pi']) },
  { name: 'the account is gone', finding: 'key-refused', ...onServer(['sed', '-i', 's/^pi:/gone:/', '/etc/passwd'], ['sed', '-i', 's/^gone:/pi:/', '/etc/passwd']) },
  { name: 'the account is not among AllowUsers', finding: 'key-refused', ...configured('AllowUsers root') },
  { name: 'the account has a shell that is not there', finding: 'key-refused', ...onServer(['usermod', '--shell', '/bin/gone', 'pi'], ['usermod', '--shell', '/bin/bash', 'pi']) },
  { name: 'the account has expired', finding: 'login-closed', ...onServer(['chage', '--expiredate', '0', 'pi'], ['chage', '--expiredate', '-1', 'pi']) },
  { name: 'the server is being shut down', finding: 'login-closed', ...onServer(['touch', '/run/nologin'], ['rm', '/run/nologin']) },
  {
    name: 'what sshd asks for keys hangs', finding: 'login-silent',
    spoil: async ({ server }) => {
      await server.writeFile('/usr/local/sbin/slow-keys', '#!/bin/sh\nexec sleep 30\n', { mode: 0o755 });
      await server.sshdConfig('AuthorizedKeysFile none\nAuthorizedKeysCommand /usr/local/sbin/slow-keys\nAuthorizedKeysCommandUser nobody');
    },
    mend: ({ server }) => server.sshdConfig(''),
  },
];

const FORWARD: readonly Row[] = [
  { name: 'the server forwards nothing', finding: 'forwarding-disabled', ...configured('AllowTcpForwarding no') },
  { name: 'the server forwards only the other way', finding: 'forwarding-disabled', ...configured('AllowTcpForwarding local') },
  { name: 'the key is restricted, and that is all', finding: 'forwarding-disabled', ...keyLine('restrict') },
  { name: 'the key may listen at another port', finding: 'listen-not-permitted', ...keyLine('restrict,port-forwarding,permitlisten="127.0.0.1:2"') },
  { name: 'the key may listen at the same port of another address', finding: 'listen-not-permitted', ...keyLine('restrict,port-forwarding,permitlisten="localhost:22222"') },
  { name: 'the server lets nobody listen', finding: 'listen-not-permitted', ...configured('PermitListen none') },
  {
    name: 'the port is one for root', finding: 'port-privileged', tunnel: 'low',
    spoil: (world) => lowestFreePort(world, 1024),
    mend: (world) => lowestFreePort(world, 0),
  },
  {
    name: 'another program has the port', finding: 'port-taken',
    spoil: async (world) => {
      await world.device.succeed(['systemctl', 'stop', 'revtun-home.service']);
      await runServer(world.server, 22222, `require('node:net').createServer((it) => it.on('error', () => {}).end('hello\\n')).listen(22222)`);
    },
    mend: ({ server }) => endServer(server, 22222),
  },
  {
    name: 'another device has the port', finding: 'port-taken',
    spoil: async (world) => {
      await world.device.succeed(['systemctl', 'stop', 'revtun-home.service']);
      await world.hosts.clone.succeed(['systemd-run', '--quiet', '--collect', '--unit=drill-other', ...plainSsh('-R', '127.0.0.1:22222:localhost:22')]);
      await holds(world, 22222);
    },
    mend: ({ hosts }) => hosts.clone.succeed(['systemctl', 'stop', 'drill-other.service']),
  },
  {
    name: 'a session that died with its address has the port', finding: 'port-held', tunnel: 'four',
    spoil: ({ device }) => device.renat(),
  },
  {
    name: 'another ssh of this machine has the port', finding: 'port-mine',
    spoil: async (world) => {
      const { device } = world;
      await device.succeed(['systemctl', 'stop', 'revtun-home.service']);
      await device.writeFile('/root/rival', 'Host rival\n  HostName server.test\n  User pi\n  RemoteForward 127.0.0.1:22222 localhost:22\n  StrictHostKeyChecking no\n');
      await device.succeed(['systemd-run', '--quiet', '--collect', '--unit=drill-rival', 'ssh', '-F', '/root/rival', '-i', '/root/.ssh/id_ed25519', '-NT', 'rival']);
      await holds(world, 22222);
    },
    mend: ({ device }) => device.succeed(['systemctl', 'stop', 'drill-rival.service']),
  },
];

const plainSsh = (...flags: string[]) => ['ssh', '-F', 'none', '-i', '/root/.ssh/id_ed25519', '-NT', '-o', 'StrictHostKeyChecking=no', ...flags, 'pi@server.test'];
const holds = ({ server }: Far, port: number) => waitFor(async () => (await server.succeed(['ss', '-Hltn', `sport = :${port}`])) !== '', { what: `port ${port} to be held` });

const BIND: readonly Row[] = [
  { name: 'the server opens the port to everyone', finding: 'made-public', service: 'up', ...configured('GatewayPorts yes') },
  { name: 'the server keeps a public port to itself', finding: 'made-loopback', tunnel: 'pub', service: 'up', ...configured('GatewayPorts no') },
  {
    name: "the server's firewall rejects everyone else", finding: 'firewalled', tunnel: 'pub', service: 'up',
    spoil: async ({ server }) => {
      await server.sshdConfig('GatewayPorts clientspecified');
      await filterOn(server, 'type filter hook input priority 0;', 'iifname != "lo" tcp dport 22224 reject with tcp reset');
    },
    mend: async ({ server }) => {
      await openFilter(server);
      await server.sshdConfig('');
    },
  },
];

const TARGET: readonly Row[] = [
  { name: 'sshd is stopped here', finding: 'nothing-here', service: 'up', spoil: ({ device }) => device.succeed(['systemctl', 'stop', 'ssh.service']), mend: ({ device }) => bringSshdBack(device) },
  {
    name: 'sshd is stuck here', finding: 'target-mute', service: 'up',
    spoil: ({ device }) => device.succeed(['systemctl', 'kill', '--kill-who=main', '--signal=STOP', 'ssh.service']),
    mend: ({ device }) => device.succeed(['systemctl', 'kill', '--kill-who=main', '--signal=CONT', 'ssh.service']),
  },
  {
    name: 'the service may not open the socket here', finding: 'not-permitted-here', tunnel: 'bus', service: 'up',
    spoil: ({ device }) => device.succeed(['chmod', '600', BUS]),
    mend: ({ device }) => device.succeed(['chmod', '666', BUS]),
  },
];

const DIALS = 'type nat hook output priority -100;';
const FAR_END: readonly Row[] = [
  {
    name: "the server's own sshd answers at the port", finding: 'wrong-machine', service: 'up',
    spoil: ({ server }) => filterOn(server, DIALS, 'tcp dport 22222 redirect to :22'), mend: ({ server }) => openFilter(server),
  },
  {
    name: 'nothing comes through the port', finding: 'silent', service: 'up',
    spoil: async ({ server }) => {
      await runServer(server, 9999, `require('node:net').createServer((it) => it.on('error', () => {})).listen(9999)`);
      await filterOn(server, DIALS, 'tcp dport 22222 redirect to :9999');
    },
    mend: async ({ server }) => {
      await openFilter(server);
      await endServer(server, 9999);
    },
  },
  {
    name: "the server's firewall lets nobody to the port", finding: 'no-listener', service: 'up',
    spoil: ({ server }) => filterOn(server, 'type filter hook output priority 0;', 'tcp dport 22222 reject with tcp reset'), mend: ({ server }) => openFilter(server),
  },
];

const restartsOf = async ({ device }: Far, unit: string) => Number(await device.succeed(['systemctl', 'show', '-p', 'NRestarts', '--value', unit]));
const ENDS_SESSION = `while sleep 1; do ss -Hltnp "sport = :22222" | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sort -u | xargs -r kill -KILL; done`;

const RESTARTS: readonly Row[] = [
  {
    name: 'the server ends the session again and again', finding: 'unstable', service: 'left',
    spoil: async (world) => {
      await world.server.succeed(['systemd-run', '--quiet', '--collect', '--unit=drill-ends', 'sh', '-c', ENDS_SESSION]);
      await waitFor(async () => (await restartsOf(world, 'revtun-home.service')) >= 5, { what: 'restarts', timeoutMs: 40_000 });
    },
    mend: ({ server }) => server.succeed(['systemctl', 'stop', 'drill-ends.service']),
  },
  {
    name: 'a copy of this machine logs in too', finding: 'two-devices', tunnel: 'cam', service: 'left',
    spoil: async (world) => {
      await world.hosts.clone.succeed(['systemctl', 'start', '--no-block', 'revtun-cam.service']);
      await waitFor(async () => (await restartsOf(world, 'revtun-cam.service')) >= 4, { what: 'restarts', timeoutMs: 30_000 });
    },
    mend: ({ hosts: { clone } }) => clone.succeed(['systemctl', 'stop', 'revtun-cam.service']),
  },
  {
    // The last one: it ends whatever else the rows have started on the device.
    name: 'a session that died with its power has the port', finding: 'port-held', tunnel: 'four', service: 'left',
    spoil: async ({ device }) => {
      // Were the ports of all to be held, their attempts would take turns, and systemd would say for long that it boots.
      await device.succeed(['sh', '-c', 'for unit in /etc/systemd/system/revtun-*.service; do name=${unit##*/}; [ "$name" = revtun-four.service ] || systemctl stop "$name"; done']);
      await device.powerCut();
      // Else the first packet of the dead session would meet a machine that knows nothing of it, and end it.
      await device.renat();
      await device.powerOn();
    },
    mend: ({ server }) => server.run(['pkill', '-KILL', '-u', 'pi']),
  },
];

/** At the login, and from there on. */
export const FAULTS_OF_THE_SERVER: readonly Row[] = [...LOGIN, ...FORWARD, ...BIND, ...TARGET, ...FAR_END, ...RESTARTS];
