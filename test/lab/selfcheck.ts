/**
 * Checks the lab itself: `node --experimental-strip-types test/lab/selfcheck.ts [release]` (Node 22), as root.
 * Boots a device behind NAT and a server, tunnels with plain ssh, cuts the power, reboots; prints what took how long.
 */
import assert from 'node:assert/strict';
import type { Running } from './child.ts';
import type { Release } from './disk.ts';
import type { Host } from './host.ts';
import { startLab } from './hosts.ts';
import { diffSnapshots } from './snapshot.ts';
import { sleep, waitFor } from './waitFor.ts';

const release = (process.argv[2] ?? 'host') as Release;
const begin = performance.now();
let last = begin;

function lap(what: string): void {
  const now = performance.now();
  console.log(`${String(Math.round(now - last)).padStart(6)} ms  ${what}`);
  last = now;
}

/** What a TCP port of a host's loopback says within a second: its first line, '' for silence, undefined for a refusal. */
async function firstLineAt(host: Host, port: number): Promise<string | undefined> {
  const script = `exec 3<>"/dev/tcp/127.0.0.1/$1" || exit 9; IFS= read -r -t 1 line <&3; printf %s "$line"`;
  const { code, stdout } = await host.run(['bash', '-c', script, 'bash', String(port)]);
  return code === 9 ? undefined : stdout.trim();
}

async function listensOn(host: Host, port: number): Promise<boolean> {
  return (await host.succeed(['ss', '-Hltn', `sport = :${port}`])) !== '';
}

async function canDial(from: Host, address: string): Promise<boolean> {
  return (await from.run(['timeout', '0.5', 'bash', '-c', 'exec 3<>"/dev/tcp/$1/22"', 'bash', address])).code === 0;
}

/** A plain `ssh -R` from the device's banner server to port 22022 of the server. */
function holdTunnel(device: Host, address: string): Running {
  const options = ['ExitOnForwardFailure=yes', 'BatchMode=yes'].flatMap((option) => ['-o', option]);
  return device.spawn(['ssh', '-N', ...options, '-R', '22022:127.0.0.1:7777', `pi@${address}`], { user: 'pi' });
}

const lab = await startLab({ device: { side: 'nat', release }, server: { release } });
try {
  const { device, server } = lab.hosts;
  lap('booted device and server');

  const banner = 'hello from the device';
  await device.bannerServer(7777, banner);
  await device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/home/pi/.ssh/id_ed25519'], { user: 'pi' });
  await server.authorizeKey('pi', await device.readFile('/home/pi/.ssh/id_ed25519.pub'));
  const knownHosts = await Promise.all(['server4.test', 'server6.test'].map((name) => server.knownHostsLine(name)));
  await device.writeFile('/home/pi/.ssh/known_hosts', knownHosts.join(''), { owner: 'pi', mode: 0o600 });
  lap('keys and banner server');

  assert.equal(await canDial(device, server.v6), true, 'the server is reachable by IPv6');
  assert.equal(await canDial(server, device.v6), false, 'the device is not reachable by IPv6');
  assert.equal(await canDial(server, device.v4), false, 'the device is not reachable by IPv4');
  lap('the server can be reached, the device cannot');

  for (const address of ['server6.test', 'server4.test']) {
    const tunnel = holdTunnel(device, address);
    await waitFor(async () => (await firstLineAt(server, 22022)) === banner, { what: `the tunnel to ${address}` });
    tunnel.signal('SIGTERM');
    await tunnel.exited;
    await waitFor(async () => (await firstLineAt(server, 22022)) === undefined, { what: 'the port to be free' });
    lap(`ssh -R to ${address} and its orderly end`);
  }

  const before = device.snapshot();
  await device.writeFile('/opt/mark', 'disk');
  await device.succeed(['chmod', '600', '/etc/fstab']);
  await device.succeed(['rm', '/etc/issue']);
  assert.deepEqual(diffSnapshots(before, device.snapshot()), {
    added: ['/opt/mark'],
    changed: ['/etc/fstab'],
    removed: ['/etc/issue'],
  });
  lap('snapshots');

  const doomed = holdTunnel(device, 'server4.test');
  await waitFor(async () => (await firstLineAt(server, 22022)) === banner, { what: 'the tunnel' });
  lap('tunnel again');
  await device.powerCut();
  await doomed.exited;
  lap('power cut');
  await sleep(1000);
  // Looked at, not dialled: with something to say to the device, the server would hear from it as soon as that is back.
  assert.equal(await listensOn(server, 22022), true, 'the listener is stale');
  lap('a second later the server still listens');

  await device.powerOn();
  assert.equal(await device.readFile('/opt/mark'), 'disk');
  assert.equal(await firstLineAt(device, 7777), banner);
  lap('the device is back, with its disk');
  const refused = holdTunnel(device, 'server4.test');
  assert.equal(await refused.exited, 255);
  lap('the stale listener keeps a new tunnel out');

  await server.reboot();
  lap('server rebooted');
  const after = holdTunnel(device, 'server4.test');
  await waitFor(async () => (await firstLineAt(server, 22022)) === banner, { what: 'the tunnel after the reboot' });
  await device.blackhole();
  assert.equal(await firstLineAt(server, 22022), '', 'a black hole is silent');
  await device.heal();
  assert.equal(await firstLineAt(server, 22022), banner, 'healed');
  await device.renat();
  assert.equal(await firstLineAt(server, 22022), '', 'another NAT address leaves the session stale');
  after.signal('SIGKILL');
  lap('black hole, healing, another NAT address');

  const terminal = await device.terminal({ argv: ['bash', '--norc'], user: 'pi', columns: 60, rows: 10 });
  await terminal.type('tty && tput cols && sleep 60');
  await terminal.press('Enter');
  await terminal.waitForText(/\/dev\/pts\/\d+\n60$/);
  await terminal.press('C-c');
  await terminal.type('exit 7');
  await terminal.press('Enter');
  assert.deepEqual(await terminal.exited(), { code: 7 });
  await terminal.close();
  lap('a terminal on the device');

  assert.equal((await device.run(['systemctl', '--user', 'is-system-running', '--wait'], { user: 'pi' })).stdout.trim(), 'running');
  await device.succeed(['loginctl', 'enable-linger', 'pi']);
  await device.powerOff();
  await device.powerOn();
  await waitFor(async () => (await device.run(['systemctl', 'is-active', 'user@1000.service'])).code === 0, { what: "pi's user manager" });
  lap('a lingering user manager');
  for (const host of Object.values(lab.hosts)) {
    const failed = (await host.run(['systemctl', 'list-units', '--failed', '--plain', '--no-legend'])).stdout;
    assert.equal(failed, '', `failed units on ${host.name}`);
  }
} catch (error) {
  console.error(lab.hosts.device.console().slice(-2000));
  throw error;
} finally {
  await lab.dispose();
  lap('disposed');
}
console.log(`${String(Math.round(performance.now() - begin)).padStart(6)} ms  in all (${release})`);
