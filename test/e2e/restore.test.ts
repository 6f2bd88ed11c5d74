import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { restoreScript } from '../../src/server/content.ts';
import { SERVER } from '../../src/server/places.ts';
import { type Lab, startLab } from '../lab/hosts.ts';
import { sleep, waitFor } from '../lab/waitFor.ts';

/** Of systemd's time spans (systemd.time(7)). */
const SECONDS: Readonly<Record<string, number>> = { d: 86_400, h: 3600, min: 60, s: 1, ms: 1e-3, us: 1e-6 };

/** systemd 247, 252 and 257. */
const SERVERS = ['bullseye', 'bookworm', 'trixie'] as const;
const MOTD = '/etc/motd';

let lab: Lab<(typeof SERVERS)[number]>;
beforeAll(async () => {
  lab = await startLab({ bullseye: { release: 'bullseye' }, bookworm: {}, trixie: { release: 'trixie' } });
});
afterAll(() => lab?.dispose());

describe.each(SERVERS)('what puts sshd’s configuration back, on %s', (name) => {
  const script = restoreScript([MOTD, '/etc/new'], 'systemctl reload ssh.service');
  const role = (word: string) => lab.hosts[name].succeed(['sh', SERVER.restore, word]);
  const run = (...argv: string[]) => lab.hosts[name].succeed(argv);
  const traces = () => run('sh', '-c', `ls -d /run/revtun[-_]* 2>/dev/null; systemctl list-units --all --no-legend 'revtun-*'`).catch(() => '');

  async function armed(text: string): Promise<void> {
    await lab.hosts[name].writeFile(MOTD, 'old\n', { mode: 0o640 });
    await lab.hosts[name].writeFile(SERVER.restore, text, { mode: 0o700 });
    await role('arm');
    await lab.hosts[name].writeFile(MOTD, 'new\n', { mode: 0o600 });
    await lab.hosts[name].writeFile('/etc/new', 'new\n');
  }

  test('the timer is due within a minute', async () => {
    await armed(script);
    const due = await run('systemctl', 'show', 'revtun-restore.timer', '-p', 'NextElapseUSecMonotonic', '-p', 'AccuracyUSec');
    expect(due).toMatch(/AccuracyUSec=100ms/);
    const now = Number((await lab.hosts[name].readFile('/proc/uptime')).split(' ')[0]);
    const at = [.../NextElapseUSecMonotonic=(.*)/.exec(due)![1]!.matchAll(/([\d.]+)(d|h|min|s|ms|us)\b/g)].reduce((sum, [, amount, unit]) => sum + Number(amount) * SECONDS[unit!]!, 0);
    const left = at - now;
    expect(left).toBeGreaterThan(50);
    expect(left).toBeLessThanOrEqual(60);
    await role('restore');
    expect([await lab.hosts[name].readFile(MOTD), await run('stat', '-c', '%a', MOTD), await traces()]).toEqual(['old\n', '640\n', '']);
  });

  test('it fires by itself, also when who armed it is gone, and reloads', async () => {
    const reloads = () => run('systemctl', 'show', 'ssh.service', '-p', 'ExecReload', '--value');
    const before = await reloads();
    await armed(script.replaceAll('on-active=60', 'on-active=1'));
    await waitFor(async () => (await lab.hosts[name].readFile(MOTD)) === 'old\n', { timeoutMs: 5000 });
    await waitFor(async () => (await traces()) === '');
    expect(await run('sh', '-c', 'ls /etc/new 2>&1 || true')).toContain('No such file');
    expect(await reloads()).not.toBe(before);
  });

  test('what cannot be put back is tried again', async () => {
    await armed(script.replaceAll('on-active=60', 'on-active=1'));
    await run('sh', '-c', `mount --bind ${MOTD} ${MOTD}`);
    await waitFor(async () => (await lab.hosts[name].run(['test', '-d', SERVER.restoring])).code === 0, { timeoutMs: 5000 });
    await sleep(1500);
    expect(await run('test', '-d', SERVER.restoring)).toBe('');
    await run('umount', MOTD);
    await waitFor(async () => (await traces()) === '', { timeoutMs: 10_000 });
    expect(await lab.hosts[name].readFile(MOTD)).toBe('old\n');
  });

  test('disarmed, it never fires, and a new one can be armed at once', async () => {
    await armed(script.replaceAll('on-active=60', 'on-active=2'));
    await role('disarm');
    expect(await traces()).toBe('');
    await armed(script);
    await sleep(2500);
    expect(await lab.hosts[name].readFile(MOTD)).toBe('new\n');
    await role('disarm');
    expect([await lab.hosts[name].readFile('/etc/new'), await traces()]).toEqual(['new\n', '']);
  });
});
