import { chmodSync, cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execute, succeed } from '../lab/child.ts';
import { freshFolder, repositoryRoot } from '../lab/paths.ts';
import { version } from '../../src/package.ts';

const at = (path: string) => join(repositoryRoot, path);

test.each(['install.sh', '.ci/run'])('shellcheck has nothing to say against %s', async (path) => {
  expect(await execute(['shellcheck', at(path)])).toEqual({ code: 0, stdout: '', stderr: '' });
});

// The script's functions, without the call in its last line.
const functions = () => readFileSync(at('install.sh'), 'utf8').replace(/\nmain "\$@"\n$/, '\n');

test.each([
  ['20.17.0', true], ['20.19.2+dfsg-1', true], ['22.13.0', true], ['23.5.0', true], ['24.0.0', true], ['26.10.0', true], ['100.0.0', true],
  ['12.22.9~dfsg-1ubuntu3', false], ['18.20.4+dfsg-1~deb12u3', false], ['20.16.9', false], ['21.20.0', false], ['22.12.9', false],
  ['23.4.9', false], ['(none)', false], ['', false],
])('Node.js %s will do: %s', async (candidate, expected) => {
  const { code, stderr } = await execute(['sh', '-c', `${functions()}\nif is_new_enough "$1"; then exit 0; else exit 9; fi`, at('install.sh'), candidate]);
  expect([code === 0, stderr]).toEqual([expected, '']);
});

test('the versions of Node.js that it takes are those of package.json', () => {
  const { engines } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { engines: { node: string } };
  expect(functions()).toContain(`"engines": ${engines.node}\n`);
});

describe('from a clone that is not built', () => {
  let folder: string;
  const inFolder = (path: string) => join(folder, path);
  // As nobody in particular: root would install for everyone on this machine.
  const asOrdinaryUser = (argv: readonly string[]) =>
    process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups', '--', ...argv] : argv;
  const run = (...args: string[]) =>
    execute(asOrdinaryUser([inFolder('clone/install.sh'), ...args]), { env: { HOME: inFolder('home'), TMPDIR: inFolder('tmp') }, timeoutMs: 120_000 });

  beforeAll(() => {
    folder = freshFolder();
    chmodSync(folder, 0o755);
    for (const path of ['install.sh', 'package.json', 'package-lock.json', 'src', 'templates', 'LICENSE']) {
      cpSync(at(path), inFolder(`clone/${path}`), { recursive: true });
    }
    for (const path of ['home', 'tmp']) {
      mkdirSync(inFolder(path));
      chmodSync(inFolder(path), 0o777);
    }
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('it is built with packages of the registry, and neither the clone nor the temporary folder shows it', async () => {
    const clone = readdirSync(inFolder('clone'), { recursive: true });
    const { code, stdout, stderr } = await run('--version');
    expect([code, stdout]).toEqual([0, `${version()}\n`]);
    expect(stderr).toContain('It is built here, in a temporary folder, with packages from the npm registry.\n');
    expect(readdirSync(inFolder('clone'), { recursive: true })).toEqual(clone);
    expect(readdirSync(inFolder('tmp'))).toEqual([]);
    expect(readdirSync(inFolder('home'))).toEqual(['.local']);

    const installed = inFolder('home/.local/lib/revtun-setup');
    expect(readdirSync(installed).toSorted()).toEqual(['LICENSE', 'dist', 'fingerprint', 'folders', 'package.json', 'revtun-setup', 'templates']);
    expect(readFileSync(join(installed, 'dist/THIRD-PARTY-LICENSES'), 'utf8')).toMatch(/\ninquirer [\d.]+ \(MIT\)\n/);
    // Links to what is in dist/ now.
    const share = inFolder('home/.local/share');
    const begin = (path: string) => readFileSync(join(share, path), 'utf8').slice(0, 60);
    expect(begin('man/man1/revtun-setup.1')).toMatch(/^\.\\" Made by the build of revtun-setup/);
    expect(begin('bash-completion/completions/revtun-setup')).toContain('# bash completion');
    expect(begin('zsh/site-functions/_revtun-setup')).toContain('#compdef revtun-setup');
    expect(begin('fish/vendor_completions.d/revtun-setup.fish')).toContain('# fish completion');
  }, 150_000);

  test('another run does not build it again; after a change of the sources it does', async () => {
    const launcher = inFolder('home/.local/lib/revtun-setup/revtun-setup');
    const before = statSync(launcher).ino;
    expect((await run('--version')).stderr).toContain('is installed already');
    expect(statSync(launcher).ino).toBe(before);

    cpSync(at('LICENSE'), inFolder('clone/src/added.txt'));
    expect((await run('--version')).stderr).toContain('\nInstalled: ');
    expect(statSync(launcher).ino).not.toBe(before);
    expect((await run('--remove')).code).toBe(0);
    expect(readdirSync(inFolder('home'))).toEqual([]);
  }, 150_000);
});

describe('the build', () => {
  let folder: string;
  beforeAll(() => void (folder = freshFolder()));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  test('takes away the chunks of an earlier one, and names the licence of all that it bundles', async () => {
    cpSync(at('package.json'), join(folder, 'chunk-OLD.js'));
    await succeed([process.execPath, at('src/build.js'), folder]);
    expect(existsSync(join(folder, 'chunk-OLD.js'))).toBe(false);
    const { devDependencies } = JSON.parse(readFileSync(at('package.json'), 'utf8')) as { devDependencies: Record<string, string> };
    const bundled = ['commander', 'ejs', 'execa', 'fs-extra', 'inquirer'];
    expect(Object.keys(devDependencies)).toEqual(expect.arrayContaining(bundled));
    const notices = readFileSync(join(folder, 'THIRD-PARTY-LICENSES'), 'utf8');
    for (const name of bundled) expect(notices).toMatch(new RegExp(`\n${name} [\\d.]+ \\([A-Za-z0-9.-]+\\)\n`));
  });
});
