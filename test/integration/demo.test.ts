import { existsSync } from 'node:fs';
import { basename } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CLI, UNCHANGED } from '../e2e/world.ts';
import { execute, type Running } from '../lab/child.ts';
import type { Host } from '../lab/host.ts';
import { type Lab, startLab } from '../lab/hosts.ts';
import { diffSnapshots } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';

const DEMO = [process.execPath, CLI, 'demo'];

/** Everything of a running machine that a demo could leave behind and that is not on its disk. */
const TRACES = `
ls -A /run /run/user /run/user/1000 /run/user/1000/systemd /tmp
find /sys/fs/cgroup -name '*revtun*'
findmnt -lno TARGET | grep revtun
ps -eo user,pid,args | grep -E '[r]evtun|[s]shd -D -e|[s]ystemd --user' | grep -v 'sh -c'
exit 0
`;

let lab: Lab<'device'>;
let device: Host;
let session: Running;

beforeAll(async () => {
  lab = await startLab({ device: {} });
  ({ device } = lab.hosts);
  // As long as somebody is logged in, systemd runs a manager for them.
  session = device.spawn(['sleep', 'infinity'], { user: 'pi' });
  await waitFor(async () => (await device.run(['test', '-S', '/run/user/1000/systemd/private'])).code === 0);
  // Their systemd makes a folder for its first scope, and keeps it.
  await device.succeed(['systemd-run', '--user', '--scope', '--quiet', 'true'], { user: 'pi' });
  // The demo must not mind what the user's own ssh is set up to do.
  await device.writeFile('/home/pi/.ssh/config', 'Host *\n  HostName nowhere.invalid\n  ProxyCommand false\n', { owner: 'pi', mode: 0o600 });
});
afterAll(async () => {
  session?.signal('SIGKILL');
  await lab?.dispose();
});

const tracesOn = async (host: Host) => (await host.succeed(['sh', '-c', TRACES])).trim();

/** Runs something on the device, and shows that everything there is as before. */
async function leavesNoTrace<T>(work: () => Promise<T>): Promise<T> {
  const [disk, traces] = [device.snapshot(), await tracesOn(device)];
  const result = await work();
  expect(diffSnapshots(disk, device.snapshot())).toEqual(UNCHANGED);
  expect(await tracesOn(device)).toBe(traces);
  return result;
}

const SHOWN = [
  'Nothing of yours is touched',
  '✔ an ssh server, as',
  "✔ a systemd user manager, which knows no unit but the demo's",
  /✔ write .*\/\.config\/systemd\/user\/revtun-demo\.service\n/,
  '✔ start: systemctl --user start -- revtun-demo.service\n',
  /✔ active: \w+@127\.0\.0\.1:\d+ has confirmed every forward\n(✔ proven: .* came back to this machine\n){2}/,
  /✔ 16 MiB through the tunnel in [\d.]+ s \(\d+ MB\/s\), each byte as it was sent\n/,
  /✔ ssh killed \(SIGKILL\): the tunnel was back after [0-4]\.\d s\n/,
  '✔ stop: systemctl --user stop -- revtun-demo.service\n',
  /✔ remove .*\/\.config\/systemd\/user\/revtun-demo\.service\n/,
  /✔ gone: \S+, \S+, and what listened on ports \d+, \d+\n/,
];

const OBJECT = {
  ok: true, changed: false, manager: 'user', bytes: 16 * 1024 * 1024,
  steps: expect.arrayContaining(['start: systemctl --user start -- revtun-demo.service']),
  seconds: expect.any(Number), megabytesPerSecond: expect.any(Number), recoverySeconds: expect.any(Number),
};

function expectOneObject(stdout: string, wanted: object): void {
  const object = JSON.parse(stdout) as { seconds: number };
  expect(object).toEqual(wanted);
  expect(object.seconds).toBeLessThan(15);
  expect(stdout.trimEnd()).not.toContain('\n');
}

describe('where systemd runs the machine', () => {
  test('an ordinary user and root see it all, at the same time, and nothing stays', async () => {
    const [pi, root] = await leavesNoTrace(() => Promise.all([device.run(DEMO, { user: 'pi' }), device.run([...DEMO, '--json'])]));
    expect([pi.code, pi.stderr]).toEqual([0, '']);
    for (const part of SHOWN) expect(pi.stdout).toEqual(typeof part === 'string' ? expect.stringContaining(part) : expect.stringMatching(part));
    expect(Number(/^That took ([\d.]+) s\./m.exec(pi.stdout)?.[1])).toBeLessThan(15);
    expect(root.code).toBe(0);
    expectOneObject(root.stdout, OBJECT);
    expect(root.stderr).toContain('✔ 16 MiB through the tunnel');
  });

  test('a user without a manager is told so, and sees the unit and the tunnel', async () => {
    const { code, stdout } = await leavesNoTrace(() => device.run(DEMO, { user: 'pi', env: { XDG_RUNTIME_DIR: '/home/pi' } }));
    expect([code, stdout]).toEqual([0, expect.stringContaining('? no systemd for the demo: pi is not logged in here')]);
    expect(stdout).toMatch(/\n {4}ExecStart=\/bin\/sh -c '.*\/usr\/bin\/ssh -fNTy /);
    expect(stdout).toMatch(/(✔ proven: .* came back to this machine\n){2}✔ 16 MiB through the tunnel/);
  });

  test.each([
    ['before the install', 'an ssh server'],
    ['in the middle of the install', 'revtun/demo/ssh_config'],
    ['while the tunnel is down', '16 MiB through the tunnel'],
  ])('Ctrl-C %s leaves nothing', async (_when, text) => {
    await leavesNoTrace(async () => {
      const terminal = await device.terminal({ argv: DEMO, user: 'pi', columns: 120, rows: 50 });
      await terminal.waitForText(text);
      await terminal.press('C-c');
      expect(await terminal.exited()).toEqual({ code: 130 });
      expect(await terminal.screen()).toContain('revtun-setup: Cancelled. Nothing was changed.');
      await terminal.close();
    });
  });

  test('without sshd it says what to install', async () => {
    await device.succeed(['mv', '/usr/sbin/sshd', '/usr/sbin/sshd.away']);
    const { code, stderr } = await leavesNoTrace(() => device.run(DEMO));
    await device.succeed(['mv', '/usr/sbin/sshd.away', '/usr/sbin/sshd']);
    expect([code, stderr]).toEqual([1, expect.stringContaining('apt-get install openssh-server')]);
  });
});

describe('on this very machine', () => {
  /** What a demo says of the folders that it had, against the truth. (Other tests make folders here at the same time.) */
  async function expectGone(stdout: string): Promise<void> {
    const { steps } = JSON.parse(stdout) as { steps: string[] };
    const folders = /^gone: (\S+), (\S+), /.exec(steps.at(-1) ?? '')?.slice(1) ?? [];
    expect(folders).toEqual([expect.stringContaining('/revtun_'), expect.stringContaining('/revtun_')]);
    expect(folders.filter((folder) => existsSync(folder))).toEqual([]);
    const groups = (await execute(['find', '/sys/fs/cgroup', '-name', 'revtun-demo-*'])).stdout.split('\n');
    // Another test may show a demo at this very moment.
    expect(groups.filter((path) => path !== '' && !existsSync(`/proc/${/\d+/.exec(basename(path))![0]}`))).toEqual([]);
  }

  test('root sees it all', async () => {
    const { code, stdout } = await execute([...DEMO, '--json']);
    expect(code).toBe(0);
    expectOneObject(stdout, OBJECT);
    await expectGone(stdout);
  });

  test('root of a container, who may not make namespaces, sees the unit and the tunnel', async () => {
    const { code, stdout, stderr } = await execute(['setpriv', '--bounding-set=-sys_admin', '--', ...DEMO, '--json']);
    expect([code, stderr]).toEqual([0, expect.stringContaining('? no systemd for the demo: unshare')]);
    expectOneObject(stdout, { ...OBJECT, manager: null, recoverySeconds: null, steps: expect.any(Array) });
    await expectGone(stdout);
  });
});
