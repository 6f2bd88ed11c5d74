import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { succeed } from '../lab/child.ts';
import type { Host, HostRunOptions } from '../lab/host.ts';
import { startLab, type Lab } from '../lab/hosts.ts';
import { freshFolder, repositoryRoot } from '../lab/paths.ts';
import { diffSnapshots } from '../lab/snapshot.ts';
import { version } from '../../src/package.ts';
import { UNCHANGED } from './world.ts';

// The registries cannot be reached from the lab, so what is installed there is a release: what `npm pack` makes.
let lab: Lab<'box' | 'bare'>;
let box: Host;
let bare: Host;

const RELEASE = '/opt/package';
const VERSION = `${version()}\n`;
const silenced = ['mount', '--bind', '/dev/null'];

beforeAll(async () => {
  const folder = freshFolder();
  try {
    // The build is the caller's: here it would run beside other tests, which use it.
    await succeed(['npm', 'pack', '--ignore-scripts', '--silent', '--pack-destination', folder], { cwd: repositoryRoot });
    lab = await startLab({ box: {}, bare: { release: 'trixie', sudo: false } });
    ({ box, bare } = lab.hosts);
    for (const host of [box, bare]) {
      cpSync(join(folder, `revtun-setup-${version()}.tgz`), host.rootPath('/opt/release.tgz'));
      await host.succeed(['tar', '-xzf', '/opt/release.tgz', '-C', '/opt', '--no-same-owner']);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}, 60_000);
afterAll(() => lab?.dispose());

const script = (args: readonly string[], options: HostRunOptions = {}, host = box) => host.run([`${RELEASE}/install.sh`, ...args], options);

describe.each([
  { who: 'root', options: {}, home: '/root', prefix: '/usr/local' },
  { who: 'an ordinary user', options: { user: 'pi' }, home: '/home/pi', prefix: '/home/pi/.local' },
])('for $who', ({ options, prefix }) => {
  const link = `${prefix}/bin/revtun-setup`;

  test('it tells first, installs, runs the program with its arguments, and leaves nothing when removed', async () => {
    const before = box.snapshot();
    const first = await script(['--version'], options);
    expect(first).toMatchObject({ code: 0, stdout: VERSION });
    expect(first.stderr.split('\n')[0]).toBe(`revtun-setup is installed into ${prefix}/lib/revtun-setup, its command as ${link}.`);

    const installed = box.snapshot();
    const again = await script(['list', '--json'], options);
    expect([again.code, JSON.parse(again.stdout)]).toEqual([0, expect.objectContaining({ ok: true })]);
    expect(again.stderr).toContain(`revtun-setup is installed already: ${link}\n`);
    expect(diffSnapshots(installed, box.snapshot())).toEqual(UNCHANGED);

    expect((await script(['status', 'nosuch'], options)).code).toBe(3);

    const removed = await script(['--remove'], options);
    expect([removed.code, removed.stderr]).toEqual([0, expect.stringContaining('Tunnels go on as they are')]);
    expect(diffSnapshots(before, box.snapshot())).toEqual(UNCHANGED);
  });
});

describe('the installed program', () => {
  test("needs neither the release's folder nor a place on the PATH, and an ordinary user can run root's", async () => {
    await script(['--version']);
    await box.succeed(['mv', RELEASE, '/opt/elsewhere']);
    try {
      expect(await box.succeed(['revtun-setup', '--version'], { user: 'pi' })).toBe(VERSION);
      expect(await box.succeed(['/usr/local/bin/revtun-setup', 'demo', '--help'], { env: { PATH: '/usr/bin:/bin' } })).toContain('demo');
    } finally {
      await box.succeed(['mv', '/opt/elsewhere', RELEASE]);
      await script(['--remove']);
    }
  });

  test('of a user is on the PATH from the next login on, and until then the script says so', async () => {
    const { stderr } = await script(['--version'], { user: 'pi' });
    expect(stderr).toContain('/home/pi/.local/bin is not on your PATH yet');
    expect(await box.succeed(['bash', '-lc', 'revtun-setup --version'], { user: 'pi' })).toBe(VERSION);
    await script(['--remove'], { user: 'pi' });
  });

  test("runs under sudo by a version manager's Node.js; without any it says what is missing", async () => {
    const bin = '/home/pi/.nvm/versions/node/v20.17.0/bin';
    await box.succeed(['sh', '-c', 'mkdir -p "$1" && cp "$2" "$1/node" && chown -R pi: /home/pi/.nvm', 'sh', bin, process.execPath]);
    await script(['--version'], { user: 'pi', env: { PATH: `${bin}:/usr/bin:/bin` } });
    const command = ['sudo', '/home/pi/.local/bin/revtun-setup', '--version'];
    const systemNode = (await box.succeed(['sh', '-c', 'command -v node'])).trim();
    await box.succeed([...silenced, systemNode]);
    try {
      expect(await box.succeed(command, { user: 'pi' })).toBe(VERSION);
      await box.succeed(['rm', '-r', '/home/pi/.nvm']);
      expect(await box.run(command, { user: 'pi' })).toEqual({ code: 1, stdout: '', stderr: expect.stringContaining('Node.js it was installed with is gone') });
    } finally {
      await box.succeed(['umount', systemNode]);
    }
    // Another Node.js on the PATH will do.
    expect(await box.succeed(command, { user: 'pi' })).toBe(VERSION);
    await script(['--remove'], { user: 'pi' });
  });

  test('lies in a home whose name takes quoting', async () => {
    const home = `/home/pi/it's "here" $HOME`;
    await box.succeed(['mkdir', home], { user: 'pi' });
    const before = box.snapshot(['/home']);
    const options = { user: 'pi', env: { HOME: home } };
    expect(await script(['--version'], options)).toMatchObject({ code: 0, stdout: VERSION });
    expect(await box.succeed([`${home}/.local/bin/revtun-setup`, '--version'], options)).toBe(VERSION);
    await script(['--remove'], options);
    expect(diffSnapshots(before, box.snapshot(['/home']))).toEqual(UNCHANGED);
  });
});

describe.each([
  { who: 'root', options: {}, share: '/usr/local/share' },
  { who: 'an ordinary user', options: { user: 'pi' }, share: '/home/pi/.local/share' },
])('shells and man(1), once it is installed for $who,', ({ options, share }) => {
  beforeAll(async () => {
    await box.writeFile('/etc/systemd/system/revtun-kiosk.service', '# Written by revtun-setup 0.1.0. …\n');
    await script(['--version'], options);
  });
  afterAll(async () => {
    await script(['--remove'], options);
    await box.succeed(['rm', '/etc/systemd/system/revtun-kiosk.service']);
  });

  // bash and fish look there by themselves; zsh does for root's.
  test.each([
    ['bash', '. /usr/share/bash-completion/bash_completion; _completion_loader revtun-setup; COMP_WORDS=(revtun-setup status k) COMP_CWORD=2 COMP_LINE="revtun-setup status k" COMP_POINT=21; _revtun_setup revtun-setup k status; echo "${COMPREPLY[@]}"'],
    ['fish', 'complete -C "revtun-setup status k"'],
    ['zsh', `fpath+=(${share}/zsh/site-functions); autoload -Uz compinit; compinit -D -u; [[ $_comps[revtun-setup] = _revtun-setup ]] && echo kiosk`],
  ])('%s knows its commands and the tunnels of the system', async (shell, command) => {
    expect(await box.succeed([shell, '-c', command], options)).toBe('kiosk\n');
  });

  test('the man page is where man looks', async () => {
    expect(await box.succeed(['groff', '-man', '-Tascii', `${share}/man/man1/revtun-setup.1`])).toMatch(/NAME[\s\S]*revtun-setup/);
  });
});

describe('the script', () => {
  test("leaves other people's man pages and completions alone", async () => {
    const page = '/usr/local/share/man/man1/revtun-setup.1';
    await box.succeed(['mkdir', '-p', '/usr/local/share/man/man1']);
    await box.writeFile(page, 'of somebody else');
    const before = box.snapshot();
    expect((await script(['--version'])).stderr).toContain(`${page} is there already, and not from here. It is left alone.\n`);
    expect(await box.succeed(['cat', page])).toBe('of somebody else');
    await script(['--remove']);
    expect(diffSnapshots(before, box.snapshot())).toEqual(UNCHANGED);
    await box.succeed(['rm', page]);
  });

  test('opens the wizard on a terminal, and asks nothing without one', async () => {
    expect(await script([], { user: 'pi' })).toMatchObject({ code: 0, stdout: '', stderr: expect.stringContaining('The wizard needs a terminal') });
    const terminal = await box.terminal({ argv: [`${RELEASE}/install.sh`], user: 'pi' });
    try {
      await terminal.waitForText(/\? .*server/i);
      await terminal.press('C-c');
      expect(await terminal.exited()).toEqual({ code: 130 });
    } finally {
      await terminal.close();
    }
    await script(['--remove'], { user: 'pi' });
  });

  test('leaves a command of that name alone that is not its own', async () => {
    await box.writeFile('/usr/local/bin/revtun-setup', 'of somebody else', { mode: 0o755 });
    const before = box.snapshot();
    for (const args of [['--version'], ['--remove']]) expect((await script(args)).code).toBe(1);
    expect(diffSnapshots(before, box.snapshot())).toEqual(UNCHANGED);
    await box.succeed(['rm', '/usr/local/bin/revtun-setup']);
  });

  test('without Node.js, and without a way to become root, it says what root has to type and changes nothing', async () => {
    await bare.succeed([...silenced, (await bare.succeed(['sh', '-c', 'command -v node'])).trim()]);
    const before = bare.snapshot();
    const { code, stdout, stderr } = await script(['--version'], { user: 'pi' }, bare);
    expect([code, stdout]).toEqual([1, '']);
    expect(stderr).toContain('Needed for it, by apt-get install: nodejs\n');
    expect(stderr).toContain('Have root type: apt-get install --no-install-recommends nodejs\n');
    expect(diffSnapshots(before, bare.snapshot())).toEqual(UNCHANGED);
  });
});
