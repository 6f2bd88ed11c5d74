import { afterAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { placesOf } from '../../src/unit/places.ts';
import { renderFiles } from '../../src/unit/render.ts';
import { isOurs } from '../../src/template.ts';
import { execute, succeed } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { sleep } from '../lab/waitFor.ts';
import { shells } from '../plan/shells.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const tunnel = exampleTunnel({ onDown: ['/usr/local/bin/tell', 'it is down'] });
const places = placesOf('system', 'home', '/root');
const files = renderFiles(tunnel, places, '', { lingering: false, namespaces: true });

const folder = freshFolder();
const script = join(folder, 'notice');
const state = join(folder, 'state');
const told = join(folder, 'told');
const tell = join(folder, 'tell');
writeFileSync(script, files.find(({ path }) => path === places.notice.script)!.content);
writeFileSync(tell, `#!/bin/sh\nprintf '%s:' "$REVTUN_EVENT" "$REVTUN_SECONDS" "$REVTUN_REASON" "$RUNTIME_DIRECTORY" "$PWD" "$@" >>${told}; echo >>${told}; exit 7\n`);
chmodSync(tell, 0o755);
beforeEach(() => {
  rmSync(state, { recursive: true, force: true });
  rmSync(told, { force: true });
  mkdirSync(state);
});
afterAll(() => rmSync(folder, { recursive: true }));

const ENV = { RUNTIME_DIRECTORY: state, INVOCATION_ID: '0'.repeat(32) };
const run = (...words: string[]) => execute(['sh', script, ...words], { env: ENV });
const news = () => (existsSync(join(state, 'news')) ? readdirSync(join(state, 'news')) : []).toSorted((a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10));
const lines = () => (existsSync(told) ? readFileSync(told, 'utf8').trimEnd().split('\n') : []);

test('who tells comes before the unit that refers to it; every file is known as ours', () => {
  expect(files.map(({ path }) => path)).toEqual([
    '/etc/revtun/home/known_hosts', '/etc/revtun/home/ssh_config', '/etc/revtun/home/notice',
    '/etc/systemd/system/revtun-notice@home.service', '/etc/systemd/system/revtun-notice@home.path', '/etc/systemd/system/revtun-home.service',
  ]);
  for (const { content } of files) expect(isOurs(content)).toBe(true);
});

test('without notices there is nothing of it', () => {
  const plain = renderFiles(exampleTunnel(), places, '', { lingering: false, namespaces: true });
  expect(plain.map(({ path }) => path)).toEqual([places.knownHosts, places.sshConfig, places.unitFile]);
  for (const { content } of plain) expect(content).not.toMatch(/notice|news/);
});

test('shellcheck has nothing to say against the script', async () => {
  const checked = await execute(['shellcheck', '-s', 'sh', script]);
  if (checked.code === 127 && process.env['CI'] === undefined) return;
  expect(checked).toEqual({ code: 0, stdout: '', stderr: '' });
});

describe('news', () => {
  test('of a tunnel that was never up: none', async () => {
    for (let attempt = 0; attempt < 3; attempt += 1) expect(await run('went', 'down')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(news()).toEqual([]);
  });

  test('that it is down come once in a hundred attempts', async () => {
    await run('went', 'up');
    await succeed(['sh', '-c', 'n=0; while [ $n -lt 100 ]; do sh "$1" went down; n=$((n + 1)); done', 'sh', script], { env: ENV });
    await run('went', 'up');
    expect(news().map((name) => name.split('.')[1])).toEqual(['up', 'down', 'up']);
  });

  test.each(shells().filter(([name]) => name !== 'bash as itself'))('alternate whatever happens, and are told in order (%s)', async (_, shell) => {
    await fc.assert(fc.asyncProperty(fc.array(fc.boolean(), { maxLength: 8 }), async (successes) => {
      rmSync(state, { recursive: true, force: true });
      rmSync(told, { force: true });
      mkdirSync(state);
      // As the unit does it; and as its service does it, until nothing is left.
      const attempts = successes.map((isUp) => `n went down${isUp ? '; n went up' : ''}`);
      const drain = 'while [ "$(ls news 2>/dev/null)" ]; do n tell down "$0"; n tell up "$0"; done';
      await succeed([...shell, '-c', `cd "$RUNTIME_DIRECTORY"; n() { "$shell" ${shell.length > 1 ? '"$option" ' : ''}"$script" "$@" >/dev/null; }; ${[...attempts, drain].join('\n')}`, tell], { env: { ...ENV, shell: shell[0]!, option: shell[1] ?? '', script } });
      const ups = successes.filter(Boolean).length;
      const expected = successes.flatMap((isUp, index) => [...(successes[index - 1] === true ? ['down'] : []), ...(isUp ? ['up'] : [])]);
      expect(lines().map((line) => line.split(':')[0])).toEqual(expected);
      expect(expected.filter((event) => event === 'up')).toHaveLength(ups);
    }), { numRuns: 4 });
  });

  test('that nobody takes do not pile up, and stay in order', async () => {
    await succeed(['sh', '-c', 'n=0; while [ $n -lt 40 ]; do sh "$1" went down; sh "$1" went up; n=$((n + 1)); done', 'sh', script], { env: ENV });
    const kinds = news().map((name) => name.split('.')[1]);
    expect(kinds.length).toBeGreaterThan(15);
    expect(kinds.length).toBeLessThanOrEqual(21);
    expect(kinds.at(-1)).toBe('up');
    for (const [index, kind] of kinds.entries()) expect(kind).not.toBe(kinds[index + 1]);
  });

  test('can be taken out by who is in the group, and by nobody else', async () => {
    await run('went', 'up');
    expect(await succeed(['stat', '-c', '%a', join(state, 'news'), join(state, 'up')])).toBe('770\n660\n');
  });
});

describe('telling', () => {
  test('says what happened and after how many seconds; a command that fails is not run again', async () => {
    await run('went', 'up');
    // Later than that, in hundredths of a second since the boot, whatever the file is made to say.
    await sleep(20);
    writeFileSync(join(state, 'up'), `${Number.parseInt(readFileSync(join(state, 'up'), 'utf8'), 10) - 6150} ${ENV.INVOCATION_ID}\n`);
    await run('went', 'down');
    writeFileSync(join(state, 'down'), String(Number.parseInt(readFileSync(join(state, 'down'), 'utf8'), 10) - 360_000));
    await sleep(20);
    await run('went', 'up');
    expect(await run('tell', 'down', tell)).toEqual({ code: 0, stdout: '', stderr: '' });
    for (const event of ['up', 'down', 'up', 'down', 'up']) {
      expect(await run('tell', event, tell, 'a b', '')).toMatchObject({ code: 0, stderr: '' });
    }
    expect(lines()).toEqual(['up::::/:a b::', 'down:61:::/:a b::', 'up:3600:::/:a b::']);
  });

  test('of what nobody wants to know: it is taken out all the same', async () => {
    await run('went', 'up');
    expect(await run('tell', 'up')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect([news(), lines()]).toEqual([[], []]);
  });

  test('says what became of the command, in the journal', async () => {
    await run('went', 'up');
    expect(await run('tell', 'up', tell)).toEqual({ code: 0, stdout: `${tell}: exit code 7\n`, stderr: '' });
  });

  test('does not run the command for news that cannot be taken out', async () => {
    await run('went', 'up');
    const notMine = join(folder, 'bin');
    mkdirSync(notMine, { recursive: true });
    writeFileSync(join(notMine, 'rm'), '#!/bin/sh\nexit 1\n', { mode: 0o755 });
    const { code } = await execute(['sh', script, 'tell', 'up', tell], { env: { ...ENV, PATH: `${notMine}:${process.env['PATH']}` } });
    expect([code, lines()]).toEqual([1, []]);
  });

  const OWNED = 'PATH[$(touch${IFS}owned)]';
  const BY_SHELL = shells().flatMap(([name, shell]) => [
    [name, 'the content of news', `news/1.down`, OWNED, ['tell', 'down'], shell],
    [name, 'the name of news', `news/${OWNED}.down`, '1', ['tell', 'down'], shell],
    [name, 'what is known of a tunnel that was up', 'up', OWNED, ['went', 'down'], shell],
    [name, 'what is known of one that was down', 'down', `${OWNED} 1`, ['went', 'up'], shell],
  ] as const);
  test.each(BY_SHELL)('by %s runs nothing that stands in %s', async (_shell, _what, path, content, words, shell) => {
    mkdirSync(join(state, 'news'));
    writeFileSync(join(state, path), `${content}\n`);
    expect(await execute([...shell, script, ...words], { env: ENV })).toMatchObject({ code: 0, stderr: '' });
    expect(readdirSync(state)).not.toContain('owned');
  });

  test.each([['0'.repeat(32), true], ['0 + _UID=0', false]])('asks the journal about a start of the unit, and nothing else: %s', async (invocation, isAsked) => {
    const asked = join(folder, 'asked');
    rmSync(asked, { force: true });
    const journal = join(folder, 'journal');
    mkdirSync(join(state, 'news'));
    mkdirSync(journal, { recursive: true });
    writeFileSync(join(journal, 'journalctl'), `#!/bin/sh\necho "$@" >>${asked}\n`, { mode: 0o755 });
    writeFileSync(join(state, 'news/500.down'), `100 ${invocation}\n`);
    await succeed(['sh', script, 'tell', 'down', tell], { env: { ...ENV, PATH: `${journal}:${process.env['PATH']}` } });
    expect([existsSync(asked), lines()]).toEqual([isAsked, ['down:4:::/:']]);
  });

  test('says what ssh said last, also where the journal came too late to see whose ssh it was', async () => {
    const journal = join(folder, 'late');
    mkdirSync(join(state, 'news'));
    mkdirSync(journal, { recursive: true });
    writeFileSync(join(journal, 'journalctl'), `#!/bin/sh
case "$*" in
  *"--since @998 --until @1001") printf '%s\\n' '{"MESSAGE":"Timeout, server x not responding.","_PID":"1"}' '{"_SYSTEMD_CGROUP":"/x","MESSAGE":"of another"}' ;;
  *MESSAGE_ID=* | *_SYSTEMD_INVOCATION_ID=*) ;;
  *) echo '1000.5 home systemd[1]: revtun-home.service: Failed with result exit-code.' ;;
esac
`, { mode: 0o755 });
    writeFileSync(join(state, 'news/500.down'), `100 ${'0'.repeat(32)}\n`);
    await succeed(['sh', script, 'tell', 'down', tell], { env: { ...ENV, PATH: `${journal}:${process.env['PATH']}` } });
    expect(lines()).toEqual(['down:4:Timeout, server x not responding.::/:']);
  });

  test('has nothing to do where the tunnel was stopped meanwhile', async () => {
    rmSync(state, { recursive: true });
    expect(await run('tell', 'down', tell)).toEqual({ code: 0, stdout: '', stderr: '' });
  });
});
