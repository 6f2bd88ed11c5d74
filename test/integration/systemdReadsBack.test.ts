import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import fc from 'fast-check';
import { local } from '../../src/machine/local.ts';
import { tunnelArgv } from '../../src/tunnel/ssh.ts';
import { describeForwards, type Scope, serverOf, type Tunnel } from '../../src/tunnel/tunnel.ts';
import { findInstalled } from '../../src/unit/installed.ts';
import { placesOf } from '../../src/unit/places.ts';
import { execArgument, execLine } from '../../src/unit/quote.ts';
import { renderUnit } from '../../src/unit/render.ts';
import type { Result } from '../lab/child.ts';
import { startSystemManager } from '../lab/systemManager.ts';
import { startUserManager } from '../lab/userManager.ts';
import * as arbitrary from '../tunnel/arbitrary.ts';

/**
 * What systemd makes of our units, seen from where it matters: a program that stands where ssh does writes down what it
 * is given. (What `systemctl show` prints is a step too early: `$` is expanded when a program is started.)
 */
interface Manager {
  readonly scope: Scope;
  /** Of the user whose manager it is. */
  readonly home: string;
  /** Where we find a path that the manager sees. */
  readonly path: (inside: string) => string;
  readonly run: (argv: readonly string[]) => Promise<Result>;
  readonly systemctl: (...words: string[]) => Promise<Result>;
  readonly dispose: () => Promise<void>;
}

/** Stands where ssh does: tells its argv, then its key and its configuration, each with a NUL behind it. */
const RECORDER = `#!/bin/sh
printf '%s\\0' "$#" "$0" "$@"
while [ "$1" != -F ]; do shift; done
cat "$CREDENTIALS_DIRECTORY/key" && printf '\\0' && cat "$2" && printf '\\0'
`;

async function userManager(): Promise<Manager> {
  const { home, run, systemctl, dispose } = await startUserManager();
  // systemd mounts a credential in a namespace beside its own, as root's manager, and has it back by propagation.
  expect(await run(['mount', '--make-rshared', '/'])).toMatchObject({ code: 0 });
  // It sees the machine's own files; these are to be others.
  const mounted = new Map(['/home', '/srv'].map((path) => [path, join(home, 'mounted', path)]));
  for (const [path, folder] of mounted) {
    mkdirSync(folder, { recursive: true });
    expect(await run(['mount', '--bind', folder, path])).toMatchObject({ code: 0 });
  }
  const recorder = join(home, 'recorder');
  writeFileSync(recorder, RECORDER, { mode: 0o755 });
  expect(await run(['mount', '--bind', recorder, '/usr/bin/ssh'])).toMatchObject({ code: 0 });
  const path = (inside: string) => inside.replace(/^\/\w+/, (top) => mounted.get(top) ?? top);
  return { scope: 'user', home, path, run, systemctl, dispose };
}

async function systemManager(): Promise<Manager> {
  const { host, systemctl, dispose } = await startSystemManager();
  await host.succeed(['useradd', '--system', '--user-group', '--no-create-home', 'revtun']);
  await host.writeFile('/usr/bin/ssh', RECORDER, { mode: 0o755 });
  return { scope: 'system', home: '/root', path: host.rootPath, run: host.run, systemctl, dispose };
}

/** Everything that a shell, ssh or systemd might act upon, and what is merely rare. A NUL cannot be in an argument. */
const nasty = fc.oneof(
  { weight: 6, arbitrary: fc.string({ unit: fc.oneof(fc.constantFrom(...` \t\n\r\v\f%$\\"'\`;#&|<>(){}[]*?!~^=@+:-_,./hiuVx0`), fc.constantFrom('é', '😀', '\u0001', '\u001B', '\u007F', '\u0085', '\u00A0', '\u2028', '\uFEFF')), maxLength: 30 }) },
  { weight: 2, arbitrary: fc.string({ unit: 'grapheme', maxLength: 30 }).filter((text) => !text.includes('\0')) },
  { weight: 3, arbitrary: fc.constantFrom(
    '', ' ', '%', '%%', '%h', '%%h', '%n', '%i', '$', '$$', '$HOME', '${HOME}', '$${HOME}', '$MAINPID', '${CREDENTIALS_DIRECTORY}', '\\', '\\\\', '\\"', '\\n', '\\x41', '\\;', ';', ';;',
    '#', '-', '--', '@x', '!x', '+x', ':x', '|', '"', "'", '"a" b', `'"'"'`, 'trailing\\', 'trailing\\\\', '\n', '\na=b', '\n[Service]\nExecStart=/bin/false', '\t', '\r\n', '\u0001\u0002', '~', '*',
  ) },
  { weight: 1, arbitrary: fc.integer({ min: 1000, max: 5000 }).chain((length) => fc.constantFrom('x', '%', '$', '"', '\\', 'é').map((char) => char.repeat(length))) },
);

/** Properties run inside of one manager, which is slow to start: a generous limit, and none that a hang would outlive. */
const LIMITS = { interruptAfterTimeLimit: 150_000, markInterruptAsFailure: true } as const;

describe.each<[string, () => Promise<Manager>]>([['a user manager', userManager], ['a system manager', systemManager]])('%s', (_, start) => {
  let manager: Manager;
  let unitDirectory: string;
  beforeAll(async () => {
    manager = await start();
    ({ unitDirectory } = placesOf(manager.scope, 'any', manager.home));
  });
  afterAll(() => manager.dispose());

  test('starts programs with the very arguments that were meant', async () => {
    let seen = 0;
    await fc.assert(fc.asyncProperty(fc.array(nasty, { minLength: 100, maxLength: 100 }), async (args) => {
      const lines = ['quoted', 'line'].map((how) => {
        const words = how === 'quoted' ? args.map(execArgument).join(' ') : execLine(args);
        const output = join(manager.home, `${how}.out`);
        writeFileSync(join(manager.path(unitDirectory), `${how}.service`),
          `[Service]\nType=oneshot\nStandardOutput=truncate:${output}\nExecStart=/usr/bin/printf "%%s\\\\0" ${words}\n`);
        return { how, output };
      });
      await manager.systemctl('daemon-reload');
      expect(await manager.systemctl('start', 'quoted.service', 'line.service')).toEqual({ code: 0, stdout: '', stderr: '' });
      for (const { output } of lines) expect(readFileSync(manager.path(output), 'utf8').split('\0').slice(0, -1)).toEqual(args);
      seen += args.length;
    }), { numRuns: 25, ...LIMITS });
    expect(seen).toBeGreaterThanOrEqual(2000);
  }, 180_000);

  /** Writes a file that the manager finds at `path`. */
  const put = (path: string, content: string) => {
    mkdirSync(dirname(manager.path(path)), { recursive: true });
    writeFileSync(manager.path(path), content);
  };

  /** What the program in ssh's place was given, each time that it ran, once its unit was started. */
  const recorded = (output: string) => {
    const parts = readFileSync(manager.path(output), 'utf8').split('\0');
    const runs: { argv: string[]; key: string | undefined; config: string | undefined }[] = [];
    for (let at = 0; at < parts.length - 1;) {
      const end = at + Number(parts[at]) + 2;
      runs.push({ argv: parts.slice(at + 1, end), key: parts[end], config: parts[end + 1] });
      at = end + 2;
    }
    return runs;
  };

  test('gives ssh what the tunnel means: arguments, key and configuration', async () => {
    const outputs = join(manager.home, 'outputs');
    put(join(outputs, 'x'), '');
    // A drop-in for all units of ours: it only says where the output goes, and that one start is enough.
    put(join(unitDirectory, 'revtun-.service.d/record.conf'), `[Service]\nStandardOutput=truncate:${outputs}/%p\nRestart=no\n`);
    const homes = fc.constantFrom('/home/ann', '/home/ann marie', `/home/o'neil`, '/home/é😀', '/home/x;y');
    const tunnels = fc.uniqueArray(fc.tuple(arbitrary.tunnelOf(manager.scope), homes, fc.boolean()), { minLength: 10, maxLength: 10, selector: ([{ name }]) => name });
    let seen = 0;

    await fc.assert(fc.asyncProperty(tunnels, async (drawn) => {
      // A key of an earlier draw may lie where this one needs a folder, or the other way round.
      rmSync(manager.path('/srv/keys'), { recursive: true, force: true });
      const cases = drawn.map(([tunnel, home, namespaces], index) => {
        const settled = inPlaceOf(tunnel, index);
        return { tunnel: settled, namespaces, places: { ...placesOf(manager.scope, tunnel.name, home), unitDirectory } };
      });
      for (const { tunnel, namespaces, places } of cases) {
        put(join(unitDirectory, places.unit), renderUnit(tunnel, places, { lingering: false, namespaces }));
        put(places.sshConfig, `config of ${tunnel.name}`);
        put(tunnel.identityFile, `key ${tunnel.identityFile}`);
        for (const folder of socketFolders(tunnel)) mkdirSync(manager.path(folder), { recursive: true });
      }
      await manager.systemctl('daemon-reload');
      const units = cases.map(({ places }) => places.unit);
      expect(await manager.systemctl('start', '--', ...units)).toEqual({ code: 0, stdout: '', stderr: '' });

      const installed = await findInstalled(seenBy(manager), manager.scope, { uid: 0, userName: 'root', home: manager.home, env: {} });
      expect(installed.map(({ name, tunnel }) => ({ name, tunnel })).toSorted(byName))
        .toEqual(cases.map(({ tunnel }) => ({ name: tunnel.name, tunnel })).toSorted(byName));
      for (const { tunnel, places } of cases) {
        const argv = tunnelArgv(tunnel, places.sshConfig);
        const releasing = [argv[0], '-Ty', '-o', 'ClearAllForwardings=yes', '-o', 'ServerAliveInterval=20', ...argv.slice(2), 'release'];
        expect(recorded(join(outputs, places.unit.replace('.service', '')))).toEqual(
          [...(tunnel.release ? [releasing] : []), argv].map((words) => ({ argv: words, key: `key ${tunnel.identityFile}`, config: `config of ${tunnel.name}` })),
        );
        const { stdout } = await manager.systemctl('show', '-p', 'Description', '--', places.unit);
        expect(stdout).toBe(`Description=Reverse tunnel ${tunnel.name}: ${describeForwards(tunnel)} by ${serverOf(tunnel)}\n`);
        if (manager.scope === 'system') expect(await writablePaths(manager, places.unit)).toEqual([...new Set(socketFolders(tunnel))]);
        seen += 1;
      }
    }).afterEach(() => {
      for (const folder of [outputs, unitDirectory]) {
        for (const file of readdirSync(manager.path(folder)).filter((name) => /^revtun-[^.]/.test(name))) rmSync(manager.path(join(folder, file)), { recursive: true });
      }
    }), { numRuns: 10, ...LIMITS });
    expect(seen).toBeGreaterThanOrEqual(100);
  }, 180_000);
});

/** The same tunnel with its files where nothing of this machine's lies. */
function inPlaceOf(tunnel: Tunnel, index: number): Tunnel {
  const forwards = tunnel.forwards.map((forward) => (
    forward.kind === 'local' && 'path' in forward.listen ? { ...forward, listen: { path: `/srv${forward.listen.path}` } } : forward));
  return { ...tunnel, forwards, identityFile: `/srv/keys/${index}${tunnel.identityFile}` };
}

const socketFolders = ({ forwards }: Tunnel) =>
  forwards.flatMap(({ kind, listen }) => (kind === 'local' && 'path' in listen ? [dirname(listen.path)] : []));

/** ReadWritePaths= as systemd has understood it; only a bus gives it as a list, and only the system manager has one here. */
async function writablePaths({ run }: Manager, unit: string): Promise<unknown> {
  const escaped = unit.replace(/[^A-Za-z0-9]/g, (char) => `_${char.charCodeAt(0).toString(16)}`);
  const { stdout } = await run(['busctl', '--json=short', 'get-property', 'org.freedesktop.systemd1', `/org/freedesktop/systemd1/unit/${escaped}`, 'org.freedesktop.systemd1.Service', 'ReadWritePaths']);
  return (JSON.parse(stdout) as { data: unknown }).data;
}

const seenBy = ({ path }: Manager) =>
  ({ ...local, list: (at: string) => local.list(path(at)), stat: (at: string) => local.stat(path(at)), read: (at: string) => local.read(path(at)) });

const byName = (a: { name: string }, b: { name: string }) => (a.name < b.name ? -1 : 1);
