import type { Host } from '../lab/host.ts';
import { acceptKeys, bringSshdBack, endServer, filterWay, impersonateSshd, KEYS, openWay, runServer } from './doctorMeans.ts';
import type { FaultThere } from './doctorRows.ts';
import type { World } from './world.ts';

type Way = World<'jump' | 'strict'>;
type Row = FaultThere<'jump' | 'strict'>;

/** Takes a host's name out of /etc/hosts, and asks this name server from now on. */
async function forgetServer({ device, server }: Way, nameServer: string): Promise<void> {
  await device.succeed(['cp', '/etc/hosts', '/srv/hosts']);
  await device.succeed(['sh', '-c', 'cat /etc/resolv.conf > /srv/resolv.conf || true']);
  await device.writeFile('/etc/hosts', (await device.readFile('/etc/hosts')).replaceAll(server.address, 'other.test'));
  await device.writeFile('/etc/resolv.conf', `nameserver ${nameServer}\n`);
}

const rememberServer = ({ device }: Way) => device.succeed(['sh', '-c', 'cat /srv/hosts > /etc/hosts; cat /srv/resolv.conf > /etc/resolv.conf']);

/** Answers every question with NXDOMAIN (RFC 1035, 4.1.1). */
const KNOWS_NO_NAME = `const it = require('node:dgram').createSocket('udp4');
it.on('message', (asked, from) => { asked[2] = 0x81; asked[3] = 0x83; it.send(asked, from.port, from.address); });
it.bind(53);`;

/** What a cable that was pulled and a route that was lost leave to be done. */
async function bringNetworkBack({ device }: Way): Promise<void> {
  const router = { v4: device.v4.replace(/\d+$/, '1'), v6: device.v6.replace(/\w+$/, '1') };
  const lines = ['link set eth0 up', `addr replace ${device.v6}/64 dev eth0 nodad`, `route replace default via ${router.v4}`, `-6 route replace default via ${router.v6}`];
  for (const line of lines) await device.succeed(['ip', ...line.split(' ')]);
}

/** Both address families' routes to the server become of this kind. */
const routeTo = (kind: string) => async ({ device, server }: Way) => {
  for (const address of [`${server.v4}/32`, `${server.v6}/128`]) await device.succeed(['ip', 'route', 'add', kind, address]);
};
const routeBack = (kind: string) => async ({ device, server }: Way) => {
  for (const address of [`${server.v4}/32`, `${server.v6}/128`]) await device.succeed(['ip', 'route', 'del', kind, address]);
};

const serverBack = ({ server }: Way) => bringSshdBack(server);
const plainSshd = ({ server }: Way) => server.sshdConfig('');

const onServer = (script: string) => ({ spoil: ({ server }: Way) => impersonateSshd(server, script), mend: serverBack });
const configured = (text: string) => ({ spoil: ({ server }: Way) => server.sshdConfig(text), mend: plainSshd });
const onTheWay = (rule: string) => ({ spoil: (world: Way) => filterWay(world, 'server', rule), mend: openWay });

/** New host keys, as a server that was set up anew has them; the old ones come back. */
const otherHostKeys = (of: (world: Way) => Host) => ({
  spoil: async (world: Way) => {
    await of(world).succeed(['sh', '-c', 'mkdir /srv/keys && mv /etc/ssh/ssh_host_*_key* /srv/keys && ssh-keygen -q -t ed25519 -N "" -f /etc/ssh/ssh_host_ed25519_key']);
    await of(world).sshdConfig('');
  },
  mend: async (world: Way) => {
    await of(world).succeed(['sh', '-c', 'mv -f /srv/keys/* /etc/ssh && rmdir /srv/keys']);
    await of(world).sshdConfig('');
  },
});

const NAME: readonly Row[] = [
  {
    name: 'no name server knows the server', finding: 'name-unknown', says: /server\.test/,
    spoil: async (world) => {
      await runServer(world.server, 53, KNOWS_NO_NAME);
      await forgetServer(world, world.server.v4);
    },
    mend: async (world) => {
      await rememberServer(world);
      await endServer(world.server, 53);
    },
  },
  {
    name: 'the name server does not answer', finding: 'dns-silent',
    spoil: async (world) => {
      await world.hosts.jump.blackhole();
      await forgetServer(world, world.hosts.jump.v4);
    },
    mend: async (world) => {
      await rememberServer(world);
      await world.hosts.jump.heal();
    },
  },
  { name: 'where the name server should be there is none', finding: 'dns-silent', spoil: (world) => forgetServer(world, world.server.v4), mend: rememberServer },
];

const ROUTE: readonly Row[] = [
  { name: 'the interface is down', finding: 'network-down', spoil: ({ device }) => device.succeed(['ip', 'link', 'set', 'eth0', 'down']), mend: bringNetworkBack },
  { name: 'the cable is pulled', finding: 'network-down', spoil: ({ device }) => device.unplug(), mend: ({ device }) => device.heal() },
  {
    name: 'the default routes are gone', finding: 'network-down', mend: bringNetworkBack,
    spoil: ({ device }) => device.succeed(['sh', '-c', 'ip route del default && ip -6 route del default']),
  },
  { name: 'the route to the server leads nowhere', finding: 'no-route', spoil: routeTo('unreachable'), mend: routeBack('unreachable') },
  { name: 'a router on the way knows no route', finding: 'no-route', ...onTheWay('tcp dport 22 reject with icmpx type host-unreachable') },
  { name: 'a rule of this machine forbids the way', finding: 'blocked-here', spoil: routeTo('prohibit'), mend: routeBack('prohibit') },
];

const TCP: readonly Row[] = [
  { name: 'sshd is stopped', finding: 'server-refused', spoil: ({ server }) => server.succeed(['systemctl', 'stop', 'ssh.service']), mend: serverBack },
  { name: 'sshd has another port', finding: 'server-refused', ...configured('Port 2222') },
  { name: 'a firewall refuses the port', finding: 'server-refused', ...onTheWay('tcp dport 22 reject with tcp reset') },
  { name: 'a firewall swallows what goes to the port', finding: 'server-silent', spoil: ({ server }) => server.dropTo(22), mend: ({ server }) => server.heal() },
  { name: 'the server is off', finding: 'server-silent', spoil: ({ server }) => server.blackhole(), mend: ({ server }) => server.heal() },
];

const BANNER: readonly Row[] = [
  { name: 'a mail server has the port', finding: 'not-ssh', ...onServer(`require('node:net').createServer((it) => it.on('error', () => {}).end('220 mail.test ESMTP\\r\\n')).listen(22)`) },
  { name: 'a web server has the port', finding: 'not-ssh', ...onServer(`require('node:http').createServer((_, answer) => answer.end('hello')).listen(22)`) },
  {
    name: 'sshd is stuck', finding: 'server-mute',
    spoil: ({ server }) => server.succeed(['systemctl', 'kill', '--kill-who=main', '--signal=STOP', 'ssh.service']),
    mend: ({ server }) => server.succeed(['systemctl', 'kill', '--kill-who=main', '--signal=CONT', 'ssh.service']),
  },
  { name: 'the server turns everyone away', finding: 'server-closed', ...onServer(`require('node:net').createServer((it) => it.on('error', () => {}).destroy()).listen(22)`) },
  {
    name: 'others who do not log in take all of sshd', finding: 'server-busy',
    spoil: async ({ server }) => {
      await server.sshdConfig('MaxStartups 1:100:1\nLoginGraceTime 120');
      await server.succeed(['systemd-run', '--quiet', '--collect', '--unit=drill-hold', 'bash', '-c', 'exec 3<>/dev/tcp/127.0.0.1/22 && read -r _ <&3 && systemd-notify --ready; sleep 60']);
    },
    mend: async ({ server }) => {
      await server.succeed(['systemctl', 'stop', 'drill-hold.service']);
      await server.sshdConfig('');
    },
  },
  {
    name: 'sshd has banned the address', finding: 'banned', tunnel: 'strict',
    spoil: async ({ device, hosts: { strict } }) => {
      await strict.sshdConfig('PerSourcePenalties authfail:300s');
      for (const family of ['-4', '-6']) {
        await device.run(['ssh', family, '-F', 'none', '-i', '/etc/ssh/ssh_host_ed25519_key', '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes',
          '-o', 'StrictHostKeyChecking=no', '-o', 'UserKnownHostsFile=/dev/null', `pi@${strict.address}`, 'true']);
      }
    },
    mend: ({ hosts: { strict } }) => strict.sshdConfig(''),
  },
];

const HOST_KEY: readonly Row[] = [
  { name: 'the server was set up anew', finding: 'host-key-changed', ...otherHostKeys(({ server }) => server) },
  { name: 'the server shows a key of another type than the pinned one', finding: 'host-key-changed', ...configured('HostKey /etc/ssh/ssh_host_ecdsa_key') },
  { name: 'the server wants an old key exchange', finding: 'no-common-algorithm', ...configured('KexAlgorithms diffie-hellman-group14-sha1') },
  { name: 'the server wants an old cipher', finding: 'no-common-algorithm', ...configured('Ciphers aes128-cbc') },
  { name: 'large packets get lost on the way', finding: 'packets-lost', ...onTheWay('meta length > 700 drop') },
];

const JUMP: readonly Row[] = [
  { name: 'the jump host has no sshd', finding: 'server-refused', tunnel: 'far', says: /jump\.test/, spoil: ({ hosts }) => hosts.jump.succeed(['systemctl', 'stop', 'ssh.service']), mend: ({ hosts }) => bringSshdBack(hosts.jump) },
  { name: 'the jump host was set up anew', finding: 'host-key-changed', tunnel: 'far', says: /jump\.test/, ...otherHostKeys(({ hosts }) => hosts.jump) },
  {
    name: 'the jump host does not know the key', finding: 'key-refused', tunnel: 'far', says: /jump\.test/,
    spoil: ({ hosts }) => hosts.jump.writeFile(KEYS, '', { owner: 'pi', mode: 0o600 }),
    mend: (world) => acceptKeys(world, world.hosts.jump),
  },
  {
    name: 'the jump host lets nobody through', finding: 'forwarding-disabled', tunnel: 'far', says: /jump\.test/,
    spoil: ({ hosts }) => hosts.jump.sshdConfig('AllowTcpForwarding no'), mend: ({ hosts }) => hosts.jump.sshdConfig(''),
  },
  { name: 'behind the jump host, sshd is stopped', finding: 'server-refused', tunnel: 'far', says: /server\.test/, spoil: ({ server }) => server.succeed(['systemctl', 'stop', 'ssh.service']), mend: serverBack },
  { name: 'behind the jump host, nothing answers', finding: 'server-silent', tunnel: 'far', says: /server\.test/, spoil: ({ server }) => server.dropTo(22), mend: ({ server }) => server.heal() },
];

/** On the way to the server and in its manners, before a login. */
export const FAULTS_OF_THE_WAY: readonly Row[] = [...NAME, ...ROUTE, ...TCP, ...BANNER, ...HOST_KEY, ...JUMP];
