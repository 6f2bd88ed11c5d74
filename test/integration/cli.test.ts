import { spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const CLI = fileURLToPath(new URL('../../dist/cli.cjs', import.meta.url));
const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { version: string };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'revtun-cli-'));
  writeFileSync(join(folder, 'key'), '', { mode: 0o600 });
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The built program as a process of its own, without a terminal. */
function revtun(args: readonly (string | Buffer)[], env: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [CLI, ...(args as string[])], {
    encoding: 'utf8', timeout: 20_000, cwd: folder, input: '', env: { PATH: process.env['PATH'], HOME: folder, ...env },
  });
  return { code: status, stdout, stderr };
}

const render = (...args: string[]) => revtun(['render', 'home', '--host', 'pi@tunl.example.com', '--remote-port', '22222', '--key', join(folder, 'key'), ...args]);

describe('the program', () => {
  test('tells its version, and helps at 80 columns', () => {
    expect(revtun(['--version'])).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: '' });
    for (const args of [['--help'], ['install', '--help'], ['uninstall', '--help'], ['status', '--help']]) {
      const { code, stdout } = revtun(args);
      expect([code, stdout.split('\n').filter((line) => line.length > 80)]).toEqual([0, []]);
    }
  });

  test('asks nothing without a terminal, and says what is missing', () => {
    expect(revtun([])).toMatchObject({ code: 2, stdout: '', stderr: expect.stringMatching(/--host/) });
    expect(revtun(['render'])).toMatchObject({ code: 2, stderr: expect.stringMatching(/--host: [\s\S]*--remote-port/) });
    expect(revtun(['--wizard'])).toMatchObject({ code: 2, stderr: expect.stringContaining('no terminal') });
  });

  test('knows a mistyped command from a name', () => {
    expect(revtun(['stauts'])).toMatchObject({ code: 2, stderr: expect.stringContaining('no command "stauts"') });
    expect(revtun(['uninstal', 'home', '--all'])).toMatchObject({ code: 2 });
    expect(revtun(['uninstall', 'home', '--all'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--all and NAME exclude each other') });
    expect(revtun(['render', '--hots', 'x'])).toMatchObject({ code: 2, stderr: expect.stringContaining('--host') });
  });

  test('names every problem at once, each with its flag or variable', () => {
    const { code, stderr } = revtun(['render', '--host=-oProxyCommand=x', '--remote-port', '65536', '--key', 'a b', '--scope', 'x'], { REVTUN_KEEPALIVE: 'often' });
    expect(code).toBe(2);
    for (const from of ['--host', '--remote-port', '--key', '--scope', 'REVTUN_KEEPALIVE']) expect(stderr).toContain(`${from}: `);
  });
});

describe('a Node', () => {
  const on = (node: string) => {
    const pretend = join(folder, 'pretend.cjs');
    writeFileSync(pretend, `Object.defineProperty(process, 'versions', { value: { ...process.versions, node: ${JSON.stringify(node)} } });`);
    return spawnSync(process.execPath, ['--require', pretend, CLI, '--help'], { encoding: 'utf8', timeout: 20_000 });
  };

  test.each(['18.20.4', '20.16.0', '21.7.3', '22.12.0', '23.4.0'])('%s is too old, and is told so in words', (node) => {
    expect(on(node)).toMatchObject({ status: 1, stdout: '', stderr: `revtun-setup: Node ${node} is too old: it needs Node 20.17+, 22.13+ or 23.5+.\n` });
  });

  test.each(['20.17.0', '22.13.1', '23.5.0', '24.0.0', '100.0.0'])('%s will do', (node) => {
    expect(on(node)).toMatchObject({ status: 0, stderr: '' });
  });

  test('is asked for as package.json asks for it', () => {
    const { engines } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as { engines: { node: string } };
    expect(readFileSync(new URL('../../src/cli.ts', import.meta.url), 'utf8')).toContain(`"engines": ${engines.node}\n`);
  });
});

describe('render', () => {
  test.each([['--server-admin', 'root@tunl'], ['--device', 'kiosk-7']])('does not take %s: what stands on the server is not rendered', (...flag) => {
    expect(render(...flag)).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining(`unknown option '${flag[0]}'`) });
  });
});

describe('status', () => {
  test.each([['0'], ['-1'], ['1.5'], ['30s'], ['1e3'], ['604801'], ['9'.repeat(30)], ['']])('--wait %j is refused', (seconds) => {
    expect(revtun(['status', `--wait=${seconds}`])).toMatchObject({ code: 2, stdout: '', stderr: expect.stringContaining('--wait: ') });
  });

  test.each([
    [['--watch', '--wait', '5'], '--watch ends with Ctrl-C'],
    [['--watch', '--json'], '--json prints one object'],
    [['--watch', '--quiet'], 'shows nothing'],
  ])('%j is refused', (args, why) => {
    expect(revtun(['status', ...args])).toMatchObject({ code: 2, stderr: expect.stringContaining(why) });
  });
});

describe('input that means harm, or nothing', () => {
  test.each([
    ['--host', '-oProxyCommand=touch pwn'], ['--host', 'a;b'], ['--host', '$(id)'], ['--host', '`id`'], ['--host', 'a\nb'], ['--host', '%h'], ['--host', '${HOME}'],
    ['--host', ''], ['--host', 'x'.repeat(100_000)], ['--host', '2001:db8::1'],
    ['--remote-port', '0x10'], ['--remote-port', '65536'], ['--remote-port', '22abc'], ['--remote-port', '-1'], ['--remote-port', ' 22'], ['--remote-port', '२२'],
    ['--local-port', '0'], ['--port', '0'], ['--user', '-oX'], ['--user', 'a b'], ['--user', 'root\nUser=x'],
    ['--name', '../x'], ['--name', '.hidden'], ['--name', 'A'], ['--name', 'x'.repeat(41)], ['--name', '%i'], ['--name', '-x'],
    ['--bind', '1.2.3.4;'], ['--bind', '-x'], ['--cipher', 'aes$(id)'], ['--cipher', 'a b'], ['--jump', 'a b'], ['--jump', 'a,,b'],
    ['--key', '/a\nExecStart=/bin/sh'], ['--key', '/a\\'], ['--key', '/a b'], ['--host-key', 'MD5:00'], ['--keepalive', '0'], ['--keepalive', '1e3'],
    ['-R', '22222'], ['-R', '0:localhost:22'], ['-R', '22222:::1:22'], ['-R', '1:/a:b:c'], ['-R', '1:/run/%h.sock'], ['-L', '8080'], ['-D', 'x'], ['-R', '1:localhost:0'],
    ['--accept-risk', 'all'], ['--scope', 'root'],
  ])('%s %j is refused, and no trace of the program shows', (flag, value) => {
    const { code, stdout, stderr } = render(flag, value);
    expect([code, stdout]).toEqual([2, '']);
    expect(stderr).not.toMatch(/^\s+at /m);
    expect(stderr.length).toBeLessThan(2000);
  });

  test('bytes that are not UTF-8 are refused', () => {
    const { status, stderr } = spawnSync('sh', ['-c', 'exec "$0" "$1" render --host h --remote-port 1 --key "$(printf "/a\\377b")"', process.execPath, CLI], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([2, expect.stringContaining('not UTF-8')]);
  });
});

describe('render', () => {
  test('prints the files and touches nothing, as flags or as variables', () => {
    const { code, stdout } = render();
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^ExecStart=\/bin\/sh -c '[^']*\/usr\/bin\/ssh -fNTy "\$\$@"[^']*' ssh -F /m)]);
    const asVariables = revtun(['render', 'home'], { REVTUN_HOST: 'pi@tunl.example.com', REVTUN_REMOTE_PORT: '22222', REVTUN_KEY: join(folder, 'key') });
    expect(asVariables.stdout).toBe(stdout);
    expect(revtun(['render', 'home', '--key', join(folder, 'key'), '--', 'ssh', '-fNTR', '127.0.0.1:22222:localhost:22', 'pi@tunl.example.com']).stdout).toBe(stdout);
  });

  test('writes into a folder, and never over a file that is not ours', () => {
    const out = join(folder, 'out');
    expect(render('--output', out)).toMatchObject({ code: 0 });
    expect(render('--output', out)).toMatchObject({ code: 0 });
    writeFileSync(join(out, 'ssh_config'), 'mine\n');
    expect(render('--output', out)).toMatchObject({ code: 2, stderr: expect.stringContaining('not written by revtun-setup') });
  });

  test('works without systemd and without ssh', () => {
    expect(revtun(['render', 'home', '--host', 'pi@tunl.example.com', '--remote-port', '22222', '--key', join(folder, 'key')], { PATH: '/nowhere' })).toMatchObject({ code: 0 });
  });
});

test('a variable is nothing to a command that has no such flag', () => {
  const installs = { REVTUN_SERVER_ADMIN: 'root@h', REVTUN_DEVICE: 'x', REVTUN_KEEPALIVE: 'often' };
  expect(revtun(['render', 'home', '--host', 'pi@h', '--remote-port', '1', '--key', '/k'], { ...installs, REVTUN_KEEPALIVE: '15' })).toMatchObject({ code: 0 });
  expect(revtun(['status'], { ...installs, REVTUN_HOST: 'h', REVTUN_LOCAL_PORT: '22' })).toMatchObject({ code: 3 });
  expect(revtun(['install'], installs)).toMatchObject({ code: 2, stderr: expect.stringContaining('REVTUN_KEEPALIVE: ') });
});

describe('--json', () => {
  test.each([
    ['a success', ['render', 'home', '--host', 'pi@h', '--remote-port', '1', '--key', '/k', '--json'], 0],
    ['wrong input', ['render', '--host', '-x', '--json'], 2],
    ['an unknown flag', ['render', '--json', '--nonsense'], 2],
    ['an unknown command', ['--json', 'nonsense'], 2],
    ['nothing installed', ['status', '--json'], 3],
    ['a list', ['list', '--json'], 0],
    ['a switch before the command', ['--json', 'list'], 0],
  ])('prints exactly one object for %s', (_what, args, code) => {
    const result = revtun(args);
    expect(result.code).toBe(code);
    const object = JSON.parse(result.stdout) as { ok: boolean; error?: object };
    expect(object.ok).toBe(code === 0);
    if (code !== 0) expect(object.error).toEqual({ code: expect.any(String), message: expect.any(String), hint: expect.any(String) });
  });

  test('is also a variable, and quiet leaves only errors', () => {
    expect(JSON.parse(revtun(['list'], { REVTUN_JSON: '1' }).stdout)).toMatchObject({ ok: true, tunnels: [] });
    expect(render('--output', join(folder, 'quiet'), '--quiet')).toMatchObject({ code: 0, stdout: '', stderr: '' });
  });
});
