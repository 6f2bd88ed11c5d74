import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { expectedSettings } from '../../src/server/content.ts';
import { accountOf, renderKeyFile } from '../../src/server/device.ts';
import { parseSettings } from '../../src/server/state.ts';
import type { Host } from '../lab/host.ts';
import { type Lab, startLab } from '../lab/hosts.ts';
import { waitFor } from '../lab/waitFor.ts';
import { ATTACKS, SECRET } from './attackRows.ts';
import { DEVICE, destinationOf, placeAccounts, ssh, STOLEN, type Target, targetsOn, whileConnected, withStolenKey } from './attackTargets.ts';
import { firstLine } from './world.ts';

/** OpenSSH 8.4, 9.2 and 10.0. */
const SERVERS = ['bullseye', 'bookworm', 'trixie'] as const;

/** What the device's own service says at the far end of its tunnel. */
const BANNER = 'the device itself';

/** A server that lets everything pass that an sshd_config can let pass: what is refused, our part refuses. */
const GENEROUS = `
AcceptEnv LANG LC_* LD_* BASH_ENV
AllowAgentForwarding yes
AllowTcpForwarding yes
AllowStreamLocalForwarding yes
GatewayPorts clientspecified
MaxStartups 100
PasswordAuthentication yes
PermitTunnel yes
PermitUserEnvironment yes
StrictModes no
TrustedUserCAKeys /etc/ssh/authority.pub
X11Forwarding yes
XAuthLocation /bin/true
`;

let lab: Lab<(typeof SERVERS)[number] | 'device'>;
let targets: readonly Record<Target['kind'], Target>[];

/** For all three servers at once; a failure with one does not leave the others halfway. */
async function everywhere(what: (at: Record<Target['kind'], Target>) => Promise<void>): Promise<void> {
  for (const outcome of await Promise.allSettled(targets.map(what))) {
    if (outcome.status === 'rejected') throw outcome.reason;
  }
}

beforeAll(async () => {
  lab = await startLab({ device: { side: 'nat' }, bullseye: { release: 'bullseye' }, bookworm: {}, trixie: { release: 'trixie' } });
  const { device } = lab.hosts;
  await device.bannerServer(9000, BANNER);
  for (const name of [STOLEN, '/root/other', '/root/authority', '/root/certified']) {
    await device.succeed(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-C', '', '-f', name]);
  }
  await device.succeed(['ssh-keygen', '-q', '-s', '/root/authority', '-I', 'attack', '-n', `${accountOf(DEVICE.name)},pi`, '/root/certified.pub']);
  await device.succeed(['sh', '-c', 'ssh-agent -a /run/agent.sock >/dev/null && SSH_AUTH_SOCK=/run/agent.sock ssh-add -q /root/other']);
  const [stolen, other, authority] = await Promise.all([STOLEN, '/root/other', '/root/authority'].map((path) => device.readFile(`${path}.pub`)));
  targets = SERVERS.map((name, index) => targetsOn(lab.hosts[name], device, 9100 + 10 * index));
  await everywhere(async ({ device: at }) => {
    const { server } = at;
    await server.bannerServer(8080, SECRET);
    await server.writeFile('/etc/ssh/authority.pub', authority!);
    await placeAccounts(server, stolen!.trim(), other!.trim());
    await server.sshdConfig(GENEROUS + (server.name === 'trixie' ? 'PerSourcePenalties no\n' : ''));
    await holdPort(at);
    await proveTunnel(at);
  });
});
afterAll(() => lab?.dispose());

/** The device's unit, as far as attacks are concerned: it begins again at once. */
async function holdPort(at: Target): Promise<void> {
  const lasting = ['--collect', '--quiet', `--unit=${unitOf(at)}`, '-p', 'Restart=always', '-p', 'RestartSec=200ms', '-p', 'StartLimitIntervalSec=0'];
  const tunnel = ['ssh', ...withStolenKey, '-NT', '-o', 'ExitOnForwardFailure=yes', '-R', `127.0.0.1:${at.port}:127.0.0.1:9000`, '--', destinationOf(at)];
  await at.attacker.succeed(['systemd-run', ...lasting, ...tunnel]);
}

const unitOf = ({ server }: Target) => `tunnel-${server.name}.service`;

/** The one thing that the key is for works, and so does the proof of it. */
async function proveTunnel(at: Target): Promise<void> {
  await waitFor(async () => (await firstLine(at.server, at.port)) === BANNER, { timeoutMs: 5000, what: `the tunnel to ${at.server.name}` });
  expect((await ssh(at, ['-W', `127.0.0.1:${at.port}`])).stdout.trim()).toBe(BANNER);
}

describe('with the stolen key of a device:', () => {
  test.each(ATTACKS.map((attack, index) => ({ ...attack, index })))('$name', async ({ succeeds, hole, offline = false, index }) => {
    await everywhere(async ({ device: at, ...ordinary }) => {
      if (offline) await at.attacker.succeed(['systemctl', 'stop', unitOf(at)]);
      expect([at.server.name, await succeeds(at)]).toEqual([at.server.name, false]);
      if (offline) await holdPort(at);
      await proveTunnel(at);
      // That it can succeed is shown with one of the servers, in turns.
      if (hole && at.server.name === SERVERS[index % SERVERS.length]) expect([hole, at.server.name, await succeeds(ordinary[hole])]).toEqual([hole, at.server.name, true]);
    });
  });

  test('a flood of connections', async () => {
    await everywhere(async ({ device: at, plain }) => {
      const { standing } = await flood(at, 14);
      expect(standing).toBeGreaterThan(1);
      expect(standing).toBeLessThanOrEqual(10);
      await proveTunnel(at);
      if (at.server.name === 'bookworm') expect((await flood(plain, 14)).standing).toBe(14);
    });
  });

  test('a flood of connections at the same instant: some may pass the count together, and then nobody does', async () => {
    await everywhere(async ({ device: at, plain }) => {
      expect((await flood(at, 14, { together: true })).next).toMatch(/Permission denied \(publickey\)/);
      await proveTunnel(at);
      if (at.server.name === 'bookworm') expect((await flood(plain, 14, { together: true })).next).not.toContain('Permission denied');
    });
  });

  test('its sessions end, and nobody else’s', async () => {
    await everywhere(async ({ device: at, free }) => {
      const other = { ...at, account: accountOf('other') };
      const hold = (who: Target, key: string) => at.attacker.spawn(['ssh', ...withStolenKey.slice(0, -1), key, '-N', '--', destinationOf(who)]);
      const strangers = [hold(other, '/root/other'), hold(free, STOLEN)];
      await waitFor(async () => (await sessionsOf(at.server, other.account)) === 1 && (await sessionsOf(at.server, 'pi')) === 1);
      const { stdout } = await ssh(at, ['-T'], ['release']);
      expect(stdout).toBe('released 1\n');
      await proveTunnel(at);
      expect(await Promise.all([other.account, 'pi'].map((account) => sessionsOf(at.server, account)))).toEqual([1, 1]);
      for (const each of strangers) each.signal('SIGKILL');
      await waitFor(async () => (await sessionsOf(at.server, other.account)) === 0);
    });
  });
});

test('a device whose port is for everyone listens at all addresses, and at that port alone', async () => {
  const publicKey = (await lab.hosts.device.readFile(`${STOLEN}.pub`)).trim();
  await everywhere(async ({ device: at }) => {
    const { server, attacker, port } = at;
    const bannerOutside = (where: number) =>
      whileConnected(at, ['-R', `*:${where}:127.0.0.1:9000`], () => firstLine(attacker, where, server.v4));
    await attacker.succeed(['systemctl', 'stop', unitOf(at)]);
    await server.succeed(['usermod', '--gid', 'revtun-public', at.account]);
    await server.writeFile(at.keyFile, renderKeyFile({ ...DEVICE, bind: '*', publicKey }));
    expect([server.name, await bannerOutside(port), await bannerOutside(port + 50)]).toEqual([server.name, BANNER, undefined]);
    await server.writeFile(at.keyFile, renderKeyFile({ ...DEVICE, publicKey }));
    await server.succeed(['usermod', '--gid', 'revtun-devices', at.account]);
    await holdPort(at);
    await proveTunnel(at);
  });
});

/**
 * Opens so many connections of an account, each when the one before was answered, or all together. Resolves with how
 * many then stand, the account's tunnel included, and with what a login after them is told.
 */
async function flood(at: Target, wanted: number, { together = false } = {}): Promise<{ standing: number; next: string }> {
  const before = await sessionsOf(at.server, at.account);
  const log = `/run/flood-${at.localPort}`;
  await at.attacker.writeFile(log, '');
  // A server speaks of its host keys once the session is known to logind, where the next login is counted.
  const answered = async () => (await at.attacker.readFile(log)).match(/rtype hostkeys-00@openssh\.com|Permission denied \(|^Connection (closed|reset) by/gm)?.length ?? 0;
  const open: ReturnType<Host['spawn']>[] = [];
  for (let number = 1; number <= wanted; number += 1) {
    open.push(at.attacker.spawn(['sh', '-c', 'log=$1; shift; exec ssh "$@" 2>>"$log"', 'sh', log, ...withStolenKey, '-v', '-N', '--', destinationOf(at)]));
    if (!together || number === wanted) await waitFor(async () => (await answered()) >= number, { timeoutMs: 30_000, everyMs: 50, what: `an answer to connection ${number}` });
  }
  const standing = await sessionsOf(at.server, at.account);
  const { stderr: next } = await ssh(at, ['-T'], ['hello']);
  for (const each of open) each.signal('SIGKILL');
  await waitFor(async () => (await sessionsOf(at.server, at.account)) <= before);
  return { standing, next };
}

/** sshd's processes that run as an account: one a connection. */
async function sessionsOf(server: Host, account: string): Promise<number> {
  const { stdout } = await server.run(['pgrep', '-c', '-u', account, '^sshd(-session)?$']);
  return Number(stdout);
}

test.each([false, true])('sshd says of a device what is expected (public: %s)', async (isPublic) => {
  await everywhere(async ({ device: { server, account } }) => {
    if (isPublic) await server.succeed(['usermod', '--gid', 'revtun-public', account]);
    const settings = parseSettings(await server.succeed(['sshd', '-T', '-C', `user=${account},host=h,addr=1.2.3.4`]));
    if (isPublic) await server.succeed(['usermod', '--gid', 'revtun-devices', account]);
    const expected = expectedSettings(new Set(settings.keys()), { public: isPublic });
    expect([server.name, Object.fromEntries([...expected.keys()].map((keyword) => [keyword, settings.get(keyword)]))]).toEqual([server.name, Object.fromEntries(expected)]);
  });
});
