import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sshError } from '../../src/checks/sshFailure.ts';
import { failed } from '../../src/errors.ts';
import { local } from '../../src/machine/local.ts';
import { openRemote, type OpenOptions, type Remote } from '../../src/machine/remote.ts';
import { freshFolder } from '../lab/paths.ts';
import { descendantsOf, signalProcess } from '../lab/processTree.ts';
import { makeKey, startSshd, type Key, type Sshd } from '../lab/sshd.ts';
import { waitFor } from '../lab/waitFor.ts';

let keys: string;
let key: Key;
let sshd: Sshd;
let remote: Remote;
let folder: string;

beforeAll(async () => {
  keys = freshFolder();
  key = await makeKey(keys, { name: 'key' });
  sshd = await startSshd({ authorizedKeys: [key.publicKeyLine], config: NO_RC_FILES });
  writeFileSync(join(keys, 'known_hosts'), sshd.knownHostsLines());
  remote = await open();
});
afterAll(async () => {
  await remote?.close();
  await sshd?.dispose();
  rmSync(keys, { recursive: true, force: true });
});
beforeEach(() => {
  folder = freshFolder();
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function open(options: Partial<OpenOptions> = {}, more: readonly string[] = []): Promise<Remote> {
  const words = ['-F', 'none', ...more, '-i', key.path, '-o', 'IdentitiesOnly=yes', '-o', `UserKnownHostsFile=${keys}/known_hosts`, '-p', String(sshd.port), '--', `${sshd.user}@${sshd.address}`];
  return openRemote(local, { name: 'there', argv: words }, { interactive: false, explain: (said) => sshError('there', said), ...options });
}

/** bash reads ~/.bashrc for commands over ssh, too; what this machine's root has there is no part of the test. */
const NO_RC_FILES = ['SetEnv HOME=/nonexistent'];

const NASTY = ["it's", 'a b', '$HOME `id` "x" !!', '-n', '%d', 'ü€😀\u0081', 'line\nbreak\n', '\\', '~', '*', '#', '\t\u0001\u007F'];
const failure = (work: Promise<unknown>) => work.then(() => undefined, (error: unknown) => error);
const ourFolders = () => readdirSync('/run').filter((name) => name.startsWith(`revtun_${process.pid}-`));

describe('a program there', () => {
  const unique = `4711.${process.pid}`;

  test('gets exactly the words it is given', async () => {
    const { code, stdout } = await remote.run(['printf', '%s|', ...NASTY, '']);
    expect([code, stdout]).toEqual([0, [...NASTY, ''].map((word) => `${word}|`).join('')]);
  });

  test('gets its input to the last byte, and then its end', async () => {
    const input = `${NASTY.join('\n')}\n\n`.repeat(500);
    expect((await remote.run(['cat'], { input })).stdout).toBe(input);
    expect((await remote.run(['cat'])).stdout).toBe('');
  });

  test('says on stdout and stderr what it said, and ends with its own code', async () => {
    expect(await remote.run(['sh', '-c', 'printf out; printf err >&2; exit 255'])).toEqual({ code: 255, stdout: 'out', stderr: 'err', timedOut: false, stopped: false });
    expect((await remote.run(['sh', '-c', 'kill -KILL $$'])).code).toBe(137);
  });

  test.each(['no-such-program', '/no/such/program', 'exit'])('that is not there (%s) is code 127', async (program) => {
    const { code, stderr } = await remote.run([program, '3']);
    expect([code, stderr]).toEqual([127, expect.stringContaining('not found')]);
  });

  test('has the variables it is given, one language and the system\'s own PATH', async () => {
    const { stdout } = await remote.run(['env'], { env: { SOME: NASTY.join(' ') } });
    expect(stdout).toContain(`SOME=${NASTY.join(' ')}\n`);
    expect(stdout).toMatch(/^LC_ALL=C\.UTF-8$/m);
    expect(stdout).toMatch(/^PATH=\/usr\/local\/sbin:\/usr\/local\/bin:\/usr\/sbin:\/usr\/bin:\/sbin:\/bin$/m);
  });

  test('that takes too long is ended there, with what it started', async () => {
    const { code, stdout, timedOut, stopped } = await remote.run(['sh', '-c', `echo begun; sleep ${unique} & sleep ${unique}`], { timeoutMs: 800 });
    expect({ code, stdout, timedOut, stopped }).toEqual({ code: 128, stdout: 'begun\n', timedOut: true, stopped: false });
    expect(running(`sleep ${unique}`)).toBe(false);
  });

  test('is ended when we have heard enough, or are told to', async () => {
    const enough = await remote.run(['sh', '-c', `echo one; echo two >&2; exec sleep ${unique}`], { stopWhen: (stderr, stdout) => stderr === 'two\n' && stdout === 'one\n' });
    expect(enough).toMatchObject({ stopped: true, timedOut: false, stdout: 'one\n' });
    const told = new AbortController();
    setTimeout(() => told.abort(), 500);
    expect(await remote.run(['sleep', unique], { signal: told.signal })).toMatchObject({ stopped: true });
    expect(running(`sleep ${unique}`)).toBe(false);
  });

  test('has a stdin that stays open and silent, where that is asked for', async () => {
    expect((await remote.run(['timeout', '1', 'cat'], { holdInput: true })).code).toBe(124);
    expect((await remote.run(['timeout', '1', 'cat'])).code).toBe(0);
  });

  test('waits for its turn: an sshd allows only so many at once', async () => {
    const all = await Promise.all(Array.from({ length: 25 }, (_, index) => remote.run(['echo', String(index)])));
    expect(all.map(({ stdout }) => stdout.trim())).toEqual(Array.from({ length: 25 }, (_, index) => String(index)));
  });

  const running = (command: string) => execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' }).split('\n').includes(command);
});

describe('files there', () => {
  test.each(NASTY)('are written, read, looked at and removed: %j', async (name) => {
    const path = join(folder, name);
    const bytes = Buffer.from(Array.from({ length: 70_000 }, (_, index) => (index * 7) % 256));
    await remote.write(path, bytes, 0o640);
    expect(readFileSync(path).equals(bytes)).toBe(true);
    expect((await remote.read(path))?.equals(bytes)).toBe(true);
    expect(await remote.stat(path)).toEqual(await local.stat(path));
    expect(await remote.stat(path)).toEqual({ kind: 'file', mode: 0o640, uid: 0, gid: 0, size: 70_000 });
    expect(await remote.list(folder)).toEqual([name]);
    await remote.write(path, 'ü\n', 0o600);
    expect([readFileSync(path, 'utf8'), lstatSync(path).mode & 0o7777, readdirSync(folder)]).toEqual(['ü\n', 0o600, [name]]);
    await remote.remove(path);
    await remote.remove(path);
    expect(existsSync(path)).toBe(false);
  });

  test.each(NASTY)('lie in directories, which are made, listed and removed: %j', async (name) => {
    const path = join(folder, name);
    await remote.makeDirectory(path, 0o751);
    expect(await remote.stat(path)).toMatchObject({ kind: 'directory', mode: 0o751 });
    await remote.write(join(path, name), '', 0o600);
    expect(await remote.read(join(path, name))).toEqual(Buffer.alloc(0));
    expect(await remote.removeEmptyDirectory(path)).toBe(false);
    await remote.remove(join(path, name));
    expect(await remote.removeEmptyDirectory(path)).toBe(true);
    expect(await remote.removeEmptyDirectory(path)).toBe(true);
    await remote.symlink(name, path);
    expect([readlinkSync(path), await remote.stat(path)]).toEqual([name, expect.objectContaining({ kind: 'symlink' })]);
    await remote.removeTree(folder);
    expect(existsSync(folder)).toBe(false);
  });

  test('that are not there are told as on this machine, and so is what is in the way', async () => {
    writeFileSync(join(folder, 'file'), 'x');
    mkdirSync(join(folder, 'directory'));
    symlinkSync('file', join(folder, 'link'));
    symlinkSync('directory', join(folder, 'linkToDirectory'));
    execFileSync('mkfifo', [join(folder, 'fifo')]);
    const answers = async (machine: Remote | typeof local) => {
      const seen: unknown[] = [];
      for (const path of ['file', 'directory', 'link', 'linkToDirectory', 'fifo', 'nowhere', 'file/below'].map((name) => join(folder, name))) {
        for (const work of [() => machine.read(path), () => machine.stat(path), () => machine.list(path).then((names) => names.toSorted())]) {
          seen.push(await work().catch((error: NodeJS.ErrnoException) => error.code));
        }
      }
      for (const work of [
        () => machine.makeDirectory(join(folder, 'file'), 0o755), () => machine.makeDirectory(join(folder, 'nowhere/x'), 0o755),
        () => machine.write(join(folder, 'nowhere/x'), '', 0o644), () => machine.symlink('x', join(folder, 'file')),
        () => machine.removeEmptyDirectory(join(folder, 'file')), () => machine.remove(join(folder, 'nowhere')), () => machine.remove(join(folder, 'file/below')),
      ]) seen.push(await work().catch((error: NodeJS.ErrnoException) => error.code));
      return seen;
    };
    const here = await answers(local);
    expect(await answers(remote)).toEqual(here.map((answer) => (answer === 'EISDIR' ? 'EINVAL' : answer)));
    expect(here).toContain('EEXIST');
  });

  test('a write over a directory fails and leaves nothing behind', async () => {
    mkdirSync(join(folder, 'directory'));
    expect(await failure(remote.write(join(folder, 'directory'), 'x', 0o644))).toMatchObject({ code: expect.any(String) });
    expect(readdirSync(folder)).toEqual(['directory']);
    expect(readdirSync(join(folder, 'directory'))).toEqual([]);
  });

  test('on a full disk the old content stays, and nothing is left behind', async () => {
    const disk = join(folder, 'disk');
    mkdirSync(disk);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', disk]);
    try {
      await remote.write(join(disk, 'file'), 'old', 0o644);
      expect(await failure(remote.write(join(disk, 'file'), Buffer.alloc(200_000), 0o644))).toMatchObject({ code: 'ENOSPC' });
      expect([readdirSync(disk), readFileSync(join(disk, 'file'), 'utf8')]).toEqual([['file'], 'old']);
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  test('a temporary directory is private', async () => {
    const path = await remote.temporaryDirectory();
    expect(await remote.stat(path)).toMatchObject({ kind: 'directory', mode: 0o700, uid: 0 });
    await remote.removeTree(path);
  });
});

describe('a lock there', () => {
  test('is waited for, and let go', async () => {
    const path = join(folder, 'lock');
    const unlock = await remote.lock(path, () => expect('waited').toBe('at once'));
    expect((await remote.run(['flock', '--nonblock', path, 'true'])).code).toBe(1);
    let waited = false;
    const second = remote.lock(path, () => {
      waited = true;
    });
    await waitFor(() => waited);
    await unlock();
    await (await second)();
    expect((await remote.run(['flock', '--nonblock', path, 'true'])).code).toBe(0);
  });

  test('goes with a connection that ends', async () => {
    const path = join(folder, 'lock');
    const other = await open();
    await other.lock(path, () => undefined);
    await other.close();
    await waitFor(async () => (await remote.run(['flock', '--nonblock', path, 'true'])).code === 0, { timeoutMs: 5000, what: 'the lock' });
  });

  test('that cannot be made is said', async () => {
    expect(await failure(remote.lock(join(folder, 'nowhere/lock'), () => undefined))).toMatchObject({ id: 'step-failed', message: expect.stringContaining('No such file') });
  });
});

describe('the connection', () => {
  test('is one login, whatever is done over it; a new login is another', async () => {
    const logins = () => sshd.log().match(/Accepted publickey/g)?.length ?? 0;
    const before = logins();
    await remote.stat('/');
    await remote.run(['true']);
    expect(logins()).toBe(before);
    await remote.reconnect();
    expect(logins()).toBe(before + 1);
  });

  test('that is cut is told as lost, at once and from then on', async () => {
    const other = await open();
    const path = join(folder, 'file');
    const waiting = failure(other.run(['sleep', '60']));
    const begin = Date.now();
    await waitFor(() => sshd.sessions() > 1);
    await other.run(['true']);
    await sshd.dropSessions();
    expect(await waiting).toMatchObject({ id: 'server-lost', exitCode: 1 });
    expect(await failure(other.write(path, 'x', 0o644))).toMatchObject({ id: 'server-lost' });
    expect(await failure(other.lock(path, () => undefined))).toMatchObject({ id: 'server-lost' });
    expect(await failure(other.runAttached(['true']))).toMatchObject({ id: 'server-lost' });
    expect(Date.now() - begin).toBeLessThan(10_000);
    await other.close();
    remote = await open();
  });

  test('that falls silent is noticed within 20 s', async () => {
    const other = await open();
    const pids = descendantsOf(sshd.pid());
    for (const pid of pids) signalProcess(pid, 'SIGSTOP');
    try {
      const begin = Date.now();
      expect(await failure(other.run(['true']))).toMatchObject({ id: 'server-lost' });
      expect(Date.now() - begin).toBeLessThan(20_000);
    } finally {
      for (const pid of pids) signalProcess(pid, 'SIGCONT');
    }
    await other.close();
    await remote.close();
    remote = await open();
  });

  test('a write that is cut off in its middle leaves the old content', async () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'old');
    const other = await open();
    const writing = failure(other.write(path, Buffer.alloc(8_000_000, 'x'), 0o644));
    await waitFor(() => readdirSync(folder).length > 1, { everyMs: 1, what: 'a file beside' });
    // The server's end of the connection alone: what runs there sees its input end.
    for (const pid of descendantsOf(sshd.pid()).filter((each) => readFileSync(`/proc/${each}/comm`, 'utf8').startsWith('sshd'))) signalProcess(pid, 'SIGKILL');
    expect(await writing).toMatchObject({ id: 'server-lost' });
    await waitFor(() => readdirSync(folder).length === 1, { what: 'the file beside to go' });
    expect(readFileSync(path, 'utf8')).toBe('old');
    await other.close();
    remote = await open();
  });

  test('a server that allows too few sessions is told as such', async () => {
    await sshd.restart({ config: [...NO_RC_FILES, 'MaxSessions 1'] });
    expect(await failure(open())).toMatchObject({ id: 'server-sessions' });
    await sshd.restart({ config: [...NO_RC_FILES, 'MaxSessions 4'] });
    const other = await open();
    const unlock = await other.lock(join(folder, 'lock'), () => undefined);
    const all = await Promise.all(Array.from({ length: 6 }, () => other.run(['echo', 'x'])));
    expect(all.every(({ stdout }) => stdout === 'x\n')).toBe(true);
    await unlock();
    await other.close();
    await sshd.restart({ config: NO_RC_FILES });
    remote = await open();
  });

  test('what a login prints for people is not taken for an answer', async () => {
    await sshd.restart({ config: [...NO_RC_FILES, `ForceCommand echo welcome; echo careful >&2; sh -c "$SSH_ORIGINAL_COMMAND"`] });
    const other = await open();
    expect(await other.run(['sh', '-c', 'echo out; echo err >&2'])).toMatchObject({ code: 0, stdout: 'out\n', stderr: 'err\n' });
    await other.close();
    await sshd.restart({ config: [...NO_RC_FILES, 'ForceCommand echo This account is for pictures.'] });
    expect(await failure(open())).toMatchObject({ id: 'ssh-failed', message: expect.stringContaining('This account is for pictures.') });
    await sshd.restart({ config: NO_RC_FILES });
    remote = await open();
  });

  test('that cannot be made is told by ssh\'s own words, and leaves nothing behind', async () => {
    const before = ourFolders();
    expect(await failure(open({}, ['-o', 'UserKnownHostsFile=/dev/null']))).toMatchObject({ id: 'host-key-unknown', exitCode: 4 });
    expect(await failure(open({}, ['-o', 'IdentityFile=none', '-o', 'PubkeyAuthentication=no']))).toMatchObject({ id: 'key-refused', exitCode: 4 });
    expect(await failure(open({}, ['-p', '1']))).toMatchObject({ id: 'server-refused', exitCode: 1 });
    const told = new AbortController();
    const opening = failure(open({ signal: told.signal }, ['-o', 'ProxyCommand=grep never-said']));
    setTimeout(() => told.abort(), 300);
    expect(await opening).toMatchObject({ id: 'cancelled', exitCode: 130 });
    const login = { name: 'there', argv: ['--', 'localhost'], runAs: { user: 'no-such-user', home: '/' } };
    expect(await failure(openRemote(local, login, { interactive: false, explain: () => failed('x', '') }))).toMatchObject({ id: 'step-failed' });
    expect(ourFolders()).toEqual(before);
  });

  test('ends with close, and leaves nothing behind', async () => {
    const before = { folders: ourFolders(), sessions: sshd.sessions() };
    const other = await open();
    expect(ourFolders().length).toBe(before.folders.length + 1);
    await other.close();
    expect(ourFolders()).toEqual(before.folders);
    await waitFor(() => sshd.sessions() === before.sessions, { what: 'the session to end' });
  });

  test('with a user\'s keys as that user: root\'s are not asked', async () => {
    const theirs = freshFolder();
    chmodSync(theirs, 0o755);
    const theirKey = await makeKey(theirs, { name: 'key' });
    sshd.authorize(theirKey.publicKeyLine);
    writeFileSync(join(theirs, 'known_hosts'), sshd.knownHostsLines());
    execFileSync('chown', ['-R', 'nobody', theirs]);
    const words = ['-F', 'none', '-i', theirKey.path, '-o', 'IdentitiesOnly=yes', '-o', `UserKnownHostsFile=${theirs}/known_hosts`, '-p', String(sshd.port), '--', `${sshd.user}@${sshd.address}`];
    const other = await openRemote(local, { name: 'there', argv: words, runAs: { user: 'nobody', home: theirs } }, { interactive: false, explain: (said) => sshError('there', said) });
    const masters = execFileSync('ps', ['-C', 'ssh', '-o', 'user=,args='], { encoding: 'utf8' }).split('\n').filter((line) => line.includes(theirs));
    expect(masters.map((line) => line.split(' ')[0])).toContain('nobody');
    expect((await other.run(['id', '-u'])).stdout).toBe('0\n');
    await other.reconnect();
    await other.close();
    rmSync(theirs, { recursive: true, force: true });
  });
});
