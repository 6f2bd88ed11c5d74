import { afterAll, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Identity, Machine, RunResult } from '../../src/machine/machine.ts';
import { local } from '../../src/machine/local.ts';
import { version } from '../../src/package.ts';
import { run } from '../../src/program/run.ts';
import { SSH } from '../../src/tunnel/ssh.ts';
import { execute } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';

/**
 * golden/NAME.command is what somebody types (under sudo it is root, otherwise ann), golden/NAME.txt what `render` prints
 * then, whole. A new case is a new .command; REVTUN_TEST_GOLDEN=write writes every .txt anew, to be read in the diff.
 */
const golden = fileURLToPath(new URL('golden/', import.meta.url));
const names = readdirSync(golden).filter((file) => file.endsWith('.command')).map((file) => file.replace('.command', ''));
const rewrite = process.env['REVTUN_TEST_GOLDEN'] === 'write';

const folder = freshFolder();
afterAll(() => rmSync(folder, { recursive: true }));

const root: Identity = { uid: 0, userName: 'root', home: '/root', env: {} };
const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: {} };

/** A machine of which only ssh's parser is the one at hand. */
function machineWith(features: string): Machine {
  const said = (stdout: string, code = 0): RunResult => ({ code, stdout, stderr: '', timedOut: false, stopped: false });
  return {
    ...local,
    read: async (path) => (path === '/proc/cpuinfo' ? Buffer.from(`flags\t\t: fpu ${features}\n`) : undefined),
    stat: async () => undefined,
    run: async (argv, options) => {
      if (argv[0] === SSH && argv[1] === '-G') return local.run([SSH, '-F', 'none', ...argv.slice(1)], options);
      if (argv[0] === 'unshare') return said('', features.includes('namespaces') ? 0 : 1);
      return said('');
    },
  };
}

async function rendered(name: string): Promise<string> {
  const [, features = '', command = ''] = /^(?:# on a machine with: (.*)\n)?(.*)\n$/.exec(readFileSync(join(golden, `${name}.command`), 'utf8')) ?? [];
  const words = execFileSync('sh', ['-c', `set -- ${command}; printf '%s\\0' "$@"`], { encoding: 'utf8', env: { HOME: ann.home } }).split('\0').slice(0, -1);
  const who = words[0] === 'sudo' ? root : ann;
  let printed = '';
  const spies = [process.stdout, process.stderr].map((stream) => jest.spyOn(stream, 'write').mockImplementation((text) => { printed += String(text); return true; }));
  await run({ argv: words.slice(words.indexOf('revtun-setup') + 1), machine: machineWith(features), who, cwd: '/', signal: new AbortController().signal, terminal: false, program: ['revtun-setup'] });
  for (const spy of spies) spy.mockRestore();
  return printed.replaceAll(`revtun-setup ${version()}`, 'revtun-setup VERSION');
}

/** The files that a golden text consists of, by path. */
function filesOf(text: string): Map<string, string> {
  const parts = text.split(/^# (\/.*)\n/m).slice(1);
  return new Map(parts.flatMap((path, index) => (index % 2 === 0 ? [[path, parts[index + 1]!] as const] : [])));
}

if (rewrite) {
  beforeAll(async () => {
    for (const name of names) writeFileSync(join(golden, `${name}.txt`), await rendered(name));
  });
}

test('there is a text to every command, and a command to every text', () => {
  expect(readdirSync(golden).toSorted()).toEqual(names.flatMap((name) => [`${name}.command`, `${name}.txt`]).toSorted());
  expect(names.length).toBeGreaterThanOrEqual(12);
});

const scores: string[] = [];
afterAll(() => {
  process.stdout.write(`${scores.join('\n')}\n`);
});

describe.each(names)('%s', (name) => {
  const text = () => readFileSync(join(golden, `${name}.txt`), 'utf8');

  /** Puts the units where systemd-analyze finds them, the tunnel's last; their names and their scope matter. */
  const unitFiles = () => {
    const units = [...filesOf(text())].filter(([path]) => /\.(service|path)$/.test(path));
    const files = units.map(([path, content]) => {
      const file = join(folder, name, path);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, content);
      return file;
    });
    return { files, scope: units[0]![0].startsWith('/etc/') ? 'system' : 'user' } as const;
  };

  test('is what is written here, to the letter', async () => {
    expect(await rendered(name)).toBe(text());
  });

  test('systemd has nothing to say about the units', async () => {
    const { files, scope } = unitFiles();
    // On systemd 247, `verify --user` destroys the user manager's socket in XDG_RUNTIME_DIR: it gets one of its own.
    const env = { XDG_RUNTIME_DIR: freshFolder() };
    const said = await execute(['systemd-analyze', `--${scope}`, 'verify', '--man=no', ...files], { env });
    rmSync(env.XDG_RUNTIME_DIR, { recursive: true });
    expect(said).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('ssh accepts the configuration', async () => {
    const [, config] = [...filesOf(text())].find(([path]) => path.endsWith('/ssh_config'))!;
    const file = join(folder, `${name}.ssh_config`);
    writeFileSync(file, config);
    const { code, stderr, stdout } = await execute([SSH, '-T', '-F', file, '-G', '--', 'host']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('\nidentityfile ${CREDENTIALS_DIRECTORY}/key\n');
  });

  test('is exposed as little as promised', async () => {
    const { files, scope } = unitFiles();
    const file = files.at(-1)!;
    // In tenths. Most of a user's sandbox needs user namespaces.
    const limit = scope === 'system' ? 12 : readFileSync(file, 'utf8').includes('PrivateUsers=') ? 25 : 65;
    const { code, stdout } = await execute(['systemd-analyze', 'security', '--offline=true', `--threshold=${limit}`, '--no-pager', file]);
    scores.push(`${name}: ${/Overall exposure level for .*/.exec(stdout)?.[0]}`);
    expect(code).toBe(0);
  });
});
