import type { Host } from '../lab/host.ts';
import { waitFor } from '../lab/waitFor.ts';
import type { World } from './world.ts';

/** What the rows of the drill spoil things with, and how it is put right again. */

/** Runs a JavaScript program as a service of the host, and waits until it has a TCP or UDP port. */
export async function runServer(host: Host, port: number, script: string): Promise<void> {
  await host.succeed(['systemd-run', '--quiet', '--collect', `--unit=drill-${port}`, '/usr/bin/env', 'node', '-e', script]);
  await waitFor(async () => (await host.succeed(['ss', '-Hlntu', `sport = :${port}`])) !== '', { what: `a server at port ${port}`, everyMs: 30 });
}

export const endServer = (host: Host, port: number) => host.run(['systemctl', 'stop', `drill-${port}.service`]);

/** A service at a Unix socket that everyone may open; what it says passes for an sshd. */
export async function runSocketServer(host: Host, path: string): Promise<void> {
  const script = `process.umask(0); require('node:net').createServer((it) => it.on('error', () => {}).end('SSH-2.0-bus\\r\\n')).listen('${path}')`;
  await host.succeed(['systemd-run', '--quiet', '--collect', '--unit=drill-bus', '/usr/bin/env', 'node', '-e', script]);
  await waitFor(async () => (await host.run(['test', '-S', path])).code === 0, { what: path, everyMs: 30 });
}

/** Something else answers where sshd did. */
export async function impersonateSshd(host: Host, script: string): Promise<void> {
  await host.succeed(['systemctl', 'stop', 'ssh.service']);
  await runServer(host, 22, script);
}

export async function bringSshdBack(host: Host): Promise<void> {
  await endServer(host, 22);
  await host.succeed(['systemctl', 'reset-failed', 'ssh.service']);
  await host.succeed(['systemctl', 'restart', 'ssh.service']);
}

/** A rule of the internet's router for packets that go to a host, until {@link openWay}. */
export const filterWay = ({ sandbox }: World<never>, to: string, rule: string) =>
  sandbox.succeed(['nft', '-f', '-'], { input: `add table inet drill\nadd chain inet drill way { type filter hook forward priority -10; }\nadd rule inet drill way oifname "to-${to}" ${rule}\n` });

export const openWay = ({ sandbox }: World<never>) => sandbox.succeed(['nft', 'delete', 'table', 'inet', 'drill']);

/** A packet filter of a host's own, until {@link openFilter}. */
export const filterOn = (host: Host, chain: string, rule: string) =>
  host.succeed(['nft', '-f', '-'], { input: `add table inet drill\nadd chain inet drill it { ${chain} }\nadd rule inet drill it ${rule}\n` });

export const openFilter = (host: Host) => host.succeed(['nft', 'delete', 'table', 'inet', 'drill']);

/** The device's key with these options, and pi's, are all that a host's pi accepts. */
export async function acceptKeys({ device }: World<never>, host: Host, options = ''): Promise<void> {
  const [ofRoot, ofPi] = await Promise.all(['/root', '/home/pi'].map((home) => device.readFile(`${home}/.ssh/id_ed25519.pub`)));
  await host.writeFile(KEYS, `${options}${options && ' '}${ofRoot}${ofPi}`, { owner: 'pi', mode: 0o600 });
}

export const KEYS = '/home/pi/.ssh/authorized_keys';

/** Ends what holds a port of the server, as a crash of it would. */
export const cutSession = (host: Host, port: number) =>
  host.run(['sh', '-c', `ss -Hltnp "sport = :$1" | sed -n 's/.*pid=\\([0-9]*\\).*/\\1/p' | sort -u | xargs -r kill -KILL`, 'sh', String(port)]);
