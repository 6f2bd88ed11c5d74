import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execute, succeed } from '../lab/child.ts';
import { freshFolder, repositoryRoot } from '../lab/paths.ts';
import { startUserManager, type UserManager } from '../lab/userManager.ts';
import { nodeFolder, NODES } from '../nodes.ts';

const { version } = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as { version: string };

let folder: string;
let manager: UserManager;

/** The command as npm installs it: a link on the PATH, which asks `env` for its Node. */
const revtun = () => join(folder, 'bin/revtun-setup');
const pathWith = (node: string) => ({ PATH: `${nodeFolder(node)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin` });

beforeAll(async () => {
  folder = freshFolder();
  // As it lies there: a build would take dist/ away from the tests that run at the same time.
  const pack = ['npm', 'pack', '--json', '--ignore-scripts', '--pack-destination', folder];
  const [packed] = JSON.parse(await succeed(pack, { cwd: repositoryRoot })) as [{ filename: string }];
  await succeed(['npm', 'install', '--global', '--offline', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', folder, join(folder, packed.filename)], { cwd: folder });
  manager = await startUserManager();
});
afterAll(async () => {
  await manager?.dispose();
  rmSync(folder, { recursive: true, force: true });
});

describe.each(NODES)('the package on Node.js %s', (node) => {
  const env = pathWith(node);

  test('tells its version and its help, and renders what it renders here', async () => {
    expect([nodeFolder(node), existsSync(join(nodeFolder(node), 'node'))]).toEqual([nodeFolder(node), true]);
    expect(await execute(['node', '--version'], { env })).toMatchObject({ code: 0, stdout: expect.stringMatching(`^v${node}\\.`) });
    expect(await execute([revtun(), '--version'], { env })).toEqual({ code: 0, stdout: `${version}\n`, stderr: '' });
    const help = await execute([revtun(), '--help'], { env });
    expect(help).toMatchObject({ code: 0, stdout: expect.stringContaining('Usage: revtun-setup'), stderr: '' });
    const render = ['render', 'home', '--host', 'pi@tunl.example.com', '--remote-port', '22222', '--key', '/root/key'];
    const here = await execute([process.execPath, join(repositoryRoot, 'dist/cli.cjs'), ...render]);
    expect(here.stdout).toContain('ExecStart=');
    expect(await execute([revtun(), ...render], { env })).toEqual(here);
  });

  test('asks its first question, and lets go', async () => {
    const terminal = await manager.terminal({ argv: [revtun(), '--scope', 'user', '--wizard'], env });
    try {
      await terminal.waitForText('? Server');
      await terminal.press('C-c');
      expect(await terminal.exited()).toEqual({ code: 130 });
      expect(await terminal.screen()).toContain('Cancelled. Nothing was changed.');
    } finally {
      await terminal.close();
    }
  });

  test('shows a tunnel that is installed, proven, killed and removed', async () => {
    const { code, stdout, stderr } = await execute([revtun(), 'demo', '--json'], { env });
    expect([code, stderr]).toEqual([0, expect.stringContaining('came back to this machine')]);
    expect(JSON.parse(stdout)).toMatchObject({ ok: true, manager: 'user', recoverySeconds: expect.any(Number) });
  });
});
