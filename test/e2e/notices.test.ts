import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import type { Host } from '../lab/host.ts';
import { diffSnapshots, type Snapshot } from '../lab/snapshot.ts';
import { sleep, waitFor } from '../lab/waitFor.ts';
import { CLI, makeWorld, UNCHANGED, untilReachable, withoutBackups, type World } from './world.ts';

/** Writes down what it is told and whether it could have read the tunnel's key, and then fails as commands do. */
const TOLD = `#!/bin/sh
line=$(printf '%s~' "$REVTUN_NAME" "$REVTUN_EVENT" "$REVTUN_SECONDS" "$REVTUN_REASON" "$REVTUN_SERVER" "$@")
logger -t told -- "$line"
[ ! -r /run/credentials/revtun-home.service/key ] || logger -t leak "$(id)"
exit 3
`;

const ARGUMENTS = ['two words', `it's`, '"', '', '100% %h %%', '$HOME ${PATH} $$', '*', '; |', String.raw`back\slash\n`, '-n', 'é'];

interface Told {
  readonly name: string;
  readonly event: string;
  readonly seconds: string;
  readonly reason: string;
  readonly server: string;
  readonly args: readonly string[];
}

let world: World<'bullseye' | 'trixie'>;
let bare: Snapshot[];

interface Tunnel {
  readonly release: string;
  readonly host: Host;
  readonly name: 'home' | 'mine';
  readonly port: number;
}

/** On Debian 12, 11 and 13, the system's; on Debian 12 also a user's. */
let tunnels: readonly Tunnel[];
const hosts = () => [world.device, world.hosts.bullseye, world.hosts.trixie];

beforeAll(async () => {
  world = await makeWorld({ bullseye: { side: 'nat', release: 'bullseye' }, trixie: { side: 'nat', release: 'trixie' } });
  for (const host of [world.hosts.bullseye, world.hosts.trixie]) {
    await host.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', '/root/.ssh/id_ed25519']);
    await world.server.authorizeKey('pi', await host.readFile('/root/.ssh/id_ed25519.pub'));
  }
  tunnels = [
    { release: 'Debian 12', host: world.device, name: 'home', port: 22_001 },
    { release: 'Debian 12, a user', host: world.device, name: 'mine', port: 22_002 },
    { release: 'Debian 11', host: world.hosts.bullseye, name: 'home', port: 22_003 },
    { release: 'Debian 13', host: world.hosts.trixie, name: 'home', port: 22_004 },
  ];
  for (const host of hosts()) await host.writeFile('/usr/local/bin/told', TOLD, { mode: 0o755 });
  // A journal in memory is one for all, which not every user may read.
  await world.device.succeed(['usermod', '-aG', 'systemd-journal', 'pi']);
  await world.device.succeed(['loginctl', 'enable-linger', 'pi']);
  await world.device.succeed(['true'], { user: 'pi' });
  bare = hosts().map((host) => host.snapshot());
});
afterAll(() => world?.dispose());

/** Root's own name is not said: it is how a host's commands are run. */
const userOf = ({ name }: Tunnel) => (name === 'mine' ? { user: 'pi' } : {});

const revtun = (tunnel: Tunnel, ...args: string[]) => tunnel.host.run([process.execPath, CLI, ...args], { timeoutMs: 60_000, ...userOf(tunnel) });
const systemctl = (tunnel: Tunnel, ...args: string[]) => tunnel.host.succeed(['systemctl', ...(tunnel.name === 'mine' ? ['--user'] : []), ...args], userOf(tunnel));
const forEach = (work: (tunnel: Tunnel) => Promise<unknown>) => Promise.all(tunnels.map(work));

const quote = (word: string) => `'${word.replaceAll("'", `'\\''`)}'`;

const install = (tunnel: Tunnel, ...more: string[]) => revtun(tunnel, 'install', tunnel.name, '--host', 'pi@server.test', '--remote-port', String(tunnel.port),
  '--host-key', world.fingerprint, '--keepalive', '1', '--on-down', `told ${ARGUMENTS.map(quote).join(' ')}`, '--on-up', '/usr/local/bin/told', ...more);

async function toldOf({ host, name }: Tunnel): Promise<Told[]> {
  const { stdout } = await host.run(['journalctl', '-q', '-b', '-o', 'cat', '-t', 'told', '--no-pager']);
  return stdout.split('\n').filter((line) => line.startsWith(`${name}~`)).map((line) => {
    const [own = '', event = '', seconds = '', reason = '', server = '', ...args] = line.split('~').slice(0, -1);
    return { name: own, event, seconds, reason, server, args };
  });
}

const untilTold = (tunnel: Tunnel, count: number, timeoutMs = 10_000) =>
  waitFor(async () => {
    const told = await toldOf(tunnel);
    return told.length >= count && told;
  }, { what: `${count} notices of ${tunnel.name} (${tunnel.release})`, timeoutMs, everyMs: 100 });

const restartsOf = async (tunnel: Tunnel) => Number(await systemctl(tunnel, 'show', '-p', 'NRestarts', '--value', `revtun-${tunnel.name}.service`));

/** What a test begins with, as it is read anew after a boot. */
async function sinceNow(tunnel: Tunnel): Promise<(count: number) => Promise<Told[]>> {
  const before = (await toldOf(tunnel)).length;
  return async (count) => (await untilTold(tunnel, before + count)).slice(before);
}

describe('people', () => {
  test('are told that a tunnel is up when it is installed; a second run changes nothing', async () => {
    await forEach(async (tunnel) => {
      const first = await install(tunnel, '--no-verify');
      expect([tunnel.release, first.code, first.stderr]).toEqual([tunnel.release, 0, expect.any(String)]);
      expect(await untilTold(tunnel, 1)).toEqual([{ name: tunnel.name, event: 'up', seconds: '', reason: '', server: 'pi@server.test', args: [] }]);
    });
    const [first] = tunnels;
    const again = await revtun(first!, 'install', 'home', '--json');
    expect(JSON.parse(again.stdout)).toMatchObject({ ok: true, changed: false, verified: { level: 'proven' } });
    const dry = await install(first!, '--on-up', 'none', '--dry-run');
    expect(dry.code).toBe(2); // given twice
  });

  test('are told once that it went down, and once that it is back, however often it tried in between', async () => {
    const began = await Promise.all(tunnels.map(sinceNow));
    // Each attempt is cut short, or ten of them would take a minute.
    const hasty = '[Service]\nTimeoutStartSec=1500ms\nRestartSec=50ms\n';
    await world.device.writeFile('/run/systemd/user/revtun-mine.service.d/hasty.conf', hasty);
    for (const host of hosts()) await host.writeFile('/run/systemd/system/revtun-home.service.d/hasty.conf', hasty);
    await forEach((tunnel) => systemctl(tunnel, 'daemon-reload'));
    const cut = performance.now();
    await Promise.all(hosts().map((host) => host.blackhole()));
    await forEach((tunnel) => waitFor(async () => (await restartsOf(tunnel)) >= 10, { what: 'ten attempts', timeoutMs: 40_000, everyMs: 250 }));
    const downs = await Promise.all(began.map((told) => told(1)));
    await Promise.all(hosts().map((host) => host.run(['rm', '-r', '/run/systemd/system/revtun-home.service.d', '/run/systemd/user/revtun-mine.service.d'])));
    await forEach((tunnel) => systemctl(tunnel, 'daemon-reload'));
    await Promise.all(hosts().map((host) => host.heal()));
    await forEach(({ port }) => untilReachable(world.server, port, 15_000));
    const gone = (performance.now() - cut) / 1000;

    for (const [index, tunnel] of tunnels.entries()) {
      expect(downs[index]).toHaveLength(1);
      const [down, up, ...more] = await began[index]!(2);
      const { release, name } = tunnel;
      expect([release, down]).toEqual([release, { name, event: 'down', seconds: expect.stringMatching(/^\d+$/), reason: expect.stringMatching(/^Timeout, server server\.test not responding/), server: 'pi@server.test', args: ARGUMENTS }]);
      expect([release, up]).toEqual([release, { name, event: 'up', seconds: expect.stringMatching(/^\d+$/), reason: '', server: 'pi@server.test', args: [] }]);
      // A silent link is given up after 4 s; whoever came back first waited for the others.
      expect(Number(up!.seconds)).toBeGreaterThanOrEqual(5);
      expect(Number(up!.seconds)).toBeLessThan(gone);
      expect(Number(down!.seconds)).toBeLessThan(60);
      expect([release, more]).toEqual([release, []]);
    }
  }, 90_000);

  test('are told by somebody who cannot read the key of the tunnel', async () => {
    for (const host of hosts()) {
      expect((await host.run(['test', '-r', '/run/credentials/revtun-home.service/key'])).code).toBe(0);
      expect(await host.succeed(['journalctl', '-q', '-b', '-t', 'leak', '--no-pager'])).toBe('');
    }
  });

  test('are told what ended it', async () => {
    await forEach(async (tunnel) => {
      const told = await sinceNow(tunnel);
      await systemctl(tunnel, 'kill', '--signal=KILL', `revtun-${tunnel.name}.service`);
      expect([tunnel.release, await told(2)]).toMatchObject([tunnel.release, [{ event: 'down', reason: 'ssh was killed' }, { event: 'up', seconds: expect.stringMatching(/^[01]$/) }]]);
    });
    const [first] = tunnels;
    const told = await sinceNow(first!);
    await systemctl(first!, 'restart', 'revtun-home.service');
    expect(await told(2)).toMatchObject([{ event: 'down', reason: 'it was restarted' }, { event: 'up' }]);
  });

  test('whose command hangs do not keep the tunnel waiting, nor the next notice for ever; what cannot even start makes no storm', async () => {
    await Promise.all([hanging(tunnels[0]), broken(tunnels[2]!)]);
  });

  async function broken(tunnel: Tunnel): Promise<void> {
    const dropIn = '/run/systemd/system/revtun-notice@home.service.d';
    const told = await sinceNow(tunnel);
    await tunnel.host.writeFile(`${dropIn}/broken.conf`, '[Service]\nExecStartPre=/bin/false\n');
    await systemctl(tunnel, 'daemon-reload');
    await systemctl(tunnel, 'kill', '--signal=KILL', 'revtun-home.service');
    const stateOf = async (what: string) => (await systemctl(tunnel, 'show', '-p', 'ActiveState', '--value', `revtun-notice@home.${what}`)).trim();
    await waitFor(async () => (await stateOf('path')) === 'failed', { what: 'the path unit to give up', timeoutMs: 30_000, everyMs: 200 });
    await tunnel.host.run(['rm', '-r', dropIn]);
    await systemctl(tunnel, 'daemon-reload');
    // In place of waiting until the limit has passed.
    await systemctl(tunnel, 'reset-failed', 'revtun-notice@home.service');
    await systemctl(tunnel, 'kill', '--signal=KILL', 'revtun-home.service');
    // What had to wait comes first.
    expect((await told(4)).map(({ event }) => event)).toEqual(['down', 'up', 'down', 'up']);
    expect(await stateOf('path')).toBe('active');
  }

  async function hanging(tunnel: Tunnel | undefined): Promise<void> {
    await world.device.writeFile('/etc/systemd/system/revtun-notice@home.service.d/mine.conf', '[Service]\nTimeoutStartSec=3\n');
    const changed = await revtun(tunnel!, 'install', 'home', '--on-down', 'sleep 600', '--no-verify', '--json');
    expect(JSON.parse(changed.stdout)).toMatchObject({ ok: true, changed: true });
    // The restart of the install was told of, or is just being.
    await waitFor(async () => (await toldOf(tunnel!)).at(-1)?.event === 'up' && (await systemctl(tunnel!, 'show', '-p', 'ActiveState', '--value', 'revtun-notice@home.service')).trim() !== 'activating', { what: 'silence', timeoutMs: 10_000 });
    const told = await sinceNow(tunnel!);
    await systemctl(tunnel!, 'kill', '--signal=KILL', 'revtun-home.service');
    await sleep(300);
    expect(await untilReachable(world.server, tunnel!.port)).toBeLessThan(3000);
    expect((await systemctl(tunnel!, 'show', '-p', 'ActiveState', '--value', 'revtun-notice@home.service')).trim()).toBe('activating');
    expect(await told(1)).toMatchObject([{ event: 'up' }]);
  }

  test('are told that it is up after a boot, and nothing when it is stopped or removed; nothing of it is left', async () => {
    await world.device.reboot();
    await Promise.all(tunnels.slice(0, 2).map(async (tunnel) => expect(await untilTold(tunnel, 1, 20_000)).toMatchObject([{ event: 'up', seconds: '' }])));
    const counts = await Promise.all(tunnels.map(async (tunnel) => (await toldOf(tunnel)).length));
    await forEach(async (tunnel) => {
      const told = await sinceNow(tunnel);
      await systemctl(tunnel, 'stop', `revtun-${tunnel.name}.service`);
      await systemctl(tunnel, 'start', `revtun-${tunnel.name}.service`);
      expect([tunnel.release, await told(1)]).toMatchObject([tunnel.release, [{ event: 'up', seconds: '' }]]);
      const { code, stdout, stderr } = await revtun(tunnel, 'uninstall', tunnel.name);
      expect([tunnel.release, code, stderr]).toEqual([tunnel.release, 0, '']);
      expect(stdout.includes('left on purpose: /etc/systemd/system/revtun-notice@home.service.d')).toBe(tunnel === tunnels[0]);
    });
    await sleep(1000);
    expect(await Promise.all(tunnels.map(async (tunnel) => (await toldOf(tunnel)).length))).toEqual(counts.map((count) => count + 1));
    await forEach(async (tunnel) => {
      expect((await systemctl(tunnel, 'list-units', '--all', '--plain', '--no-legend', '*revtun*')).trim()).toBe('');
    });
    await world.device.run(['rm', '-r', '/etc/systemd/system/revtun-notice@home.service.d']);
    for (const [index, host] of hosts().entries()) expect(withoutBackups(diffSnapshots(bare[index]!, host.snapshot()))).toEqual(UNCHANGED);
  }, 60_000);
});
