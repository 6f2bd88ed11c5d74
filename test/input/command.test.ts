import { afterAll, afterEach, beforeAll, describe, expect, jest, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { installCommand } from '../../src/input/command.ts';
import { refuseDropped } from '../../src/input/dropped.ts';
import type { Draft } from '../../src/input/fields.ts';
import type { Installed } from '../../src/unit/installed.ts';
import type { ExpectedError } from '../../src/errors.ts';
import type { Identity, Machine } from '../../src/machine/machine.ts';
import { run } from '../../src/program/run.ts';
import { commandLine } from '../../src/shell.ts';
import { fromSettings, isDeviceAccount, risksOf, type Tunnel } from '../../src/tunnel/tunnel.ts';
import { wantedTunnel } from '../../src/input/wanted.ts';
import { placesOf } from '../../src/unit/places.ts';
import { recordOf } from '../unit/record.ts';
import * as arbitrary from '../tunnel/arbitrary.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { type Caller, makeCaller } from './caller.ts';

let caller: Caller;
let machine: Machine;
beforeAll(() => {
  caller = makeCaller();
  // ssh is the real one; what else `render` asks is of no matter here.
  const answered = { code: 0, stdout: '', stderr: '', timedOut: false, stopped: false };
  machine = { ...caller.machine, run: async (argv, options) => (argv.includes('-G') ? caller.machine.run(argv, options) : answered) };
});
afterAll(() => caller.dispose());
afterEach(() => { jest.restoreAllMocks(); });

/** The tunnel that the program itself makes of a command line for `install`, given to `render`. */
async function readByProgram(argv: readonly string[], who: Identity): Promise<Tunnel> {
  const [, , name = '', ...flags] = argv[0] === 'sudo' ? argv.slice(1) : argv;
  let printed = '';
  const stdout = jest.spyOn(process.stdout, 'write').mockImplementation((text) => { printed += String(text); return true; });
  const stderr = jest.spyOn(process.stderr, 'write').mockImplementation((text) => { printed += String(text); return true; });
  const code = await run({ argv: ['render', name, ...flags, '--json'], machine, who, cwd: '/', signal: new AbortController().signal, terminal: false, program: ['revtun-setup'] });
  stdout.mockRestore();
  stderr.mockRestore();
  if (code !== 0) throw new Error(printed);
  const { scope, files } = JSON.parse(printed.split('\n')[0]!) as { scope: 'system' | 'user'; files: { content: string }[] };
  return fromSettings(name, scope, recordOf(files.at(-1)!.content));
}

/** A printed command, as the shell that it is pasted into takes it. */
const pasted = (line: string) => execFileSync('sh', ['-c', `set -- ${line}; printf '%s\\0' "$@"`], { encoding: 'utf8' }).split('\0').slice(0, -1);

/** aes: what the default cipher list depends on; `render` asks the machine, so this has to be true of it. */
const aes = /^(flags|Features)\s*:.*\baes\b/m.test(execFileSync('cat', ['/proc/cpuinfo'], { encoding: 'utf8' }));

describe('a line for a shell', () => {
  test.each([
    [['a', 'b-c', '/d', 'x=1', '%h'], 'a b-c /d x=1 %h'],
    [['a b', '', "it's", '$HOME', '*', '~', '`x`', 'a;b'], String.raw`'a b' '' 'it'\''s' '$HOME' '*' '~' '${'`x`'}' 'a;b'`],
  ])('%j is %s', (words, line) => {
    expect(commandLine(words)).toBe(line);
  });

  test('comes out of a real one as it went in', () => {
    const word = fc.string({ unit: fc.oneof(fc.constantFrom(...'\'"\\$`!*?[]{}()<>|&;#~ \t\n%=-'), fc.string({ minLength: 1, maxLength: 1 })) }).filter((text) => !text.includes('\0'));
    fc.assert(fc.property(fc.array(word, { minLength: 1, maxLength: 20 }), (words) => {
      expect(pasted(commandLine(words))).toEqual(words);
    }), { numRuns: 100 });
  });
});

describe('the command that installs a tunnel', () => {
  const ann: Identity = { uid: 1000, userName: 'ann', home: '/home/ann', env: {} };

  test.each<[Partial<Tunnel>, Partial<Identity>, string]>([
    [{ scope: 'user' }, {}, 'revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519'],
    [{}, { uid: 0 }, 'revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519'],
    [{}, { uid: 0, sudoUser: 'ann' }, 'sudo revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519'],
    [{ identityFile: '/etc/revtun/home/key' }, { uid: 0 }, 'revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --generate-key'],
    [{ port: 1, jump: [{ host: 'a', user: 'b', port: 22 }], keepalive: 9, ciphers: 'aes128-ctr', forwards: forwards('-R *:0', '-L 1:a:2') }, { uid: 0 },
      "revtun-setup install home --host pi@tunl.example.com:1 --jump b@a:22 -R '*:0' -L 1:a:2 --key /root/.ssh/id_ed25519 --keepalive 9 --cipher aes128-ctr"
      + ' --accept-risk=public --accept-risk=remote-socks --accept-risk=dynamic-port'],
    [{}, {}, 'revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519 --scope system'],
    [{ onDown: ['/bin/tell', "it's"], onUp: ['/bin/true'] }, { uid: 0 },
      String.raw`revtun-setup install home --host pi@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519 --on-down '/bin/tell '\''it'\''\'\'''\''s'\''' --on-up /bin/true`],
    [{ user: 'revtun-a', release: true }, { uid: 0 }, 'revtun-setup install home --host revtun-a@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519'],
    [{ user: 'revtun-a' }, { uid: 0 }, 'revtun-setup install home --host revtun-a@tunl.example.com -R 127.0.0.1:22222:localhost:22 --key /root/.ssh/id_ed25519 --no-release'],
  ])('%j for %j', (changes, who, line) => {
    expect(commandLine(installCommand(exampleTunnel(changes), { who: { ...ann, ...who }, aes: false }))).toBe(line);
  });

  test('ends with what is said about trust', () => {
    expect(installCommand(exampleTunnel(), { who: ann, aes: true }, ['--host-key', 'SHA256:x']).slice(-2)).toEqual(['--host-key', 'SHA256:x']);
  });

  test('pasted into a shell and read by the program is the same tunnel again', async () => {
    const who = fc.constantFrom<Partial<Identity>>({ uid: 0, userName: 'root' }, { uid: 1000, userName: 'ann' });
    const generated = fc.boolean();
    await fc.assert(fc.asyncProperty(arbitrary.tunnel, who, generated, async (drawn, asker, makeKey) => {
      const identity: Identity = { ...caller.who, ...asker };
      const tunnel = makeKey ? { ...drawn, identityFile: placesOf(drawn.scope, drawn.name, identity.home).generatedKey } : drawn;
      const argv = installCommand(tunnel, { who: identity, aes });
      expect(await readByProgram(pasted(commandLine(argv)), identity)).toEqual(tunnel);
    }), { numRuns: 100 });
  });
});

describe('a run that says less than is installed', () => {
  const circumstances = () => ({ who: { ...caller.who, uid: 0 }, aes });
  const installedAs = (tunnel: Tunnel): Installed =>
    ({ name: tunnel.name, scope: tunnel.scope, places: placesOf(tunnel.scope, tunnel.name, ''), tunnel, lingering: false });

  test.each<[Partial<Tunnel>, Draft, Partial<Tunnel>, string[]]>([
    [{ keepalive: 9 }, {}, {}, ['  --keepalive: now 9, would become 3']],
    [{ ciphers: 'aes128-ctr' }, {}, {}, ['  --cipher: now aes128-ctr, would become default']],
    [{ jump: [{ host: 'a', user: 'b', port: 1 }] }, {}, {}, ['  --jump: now b@a:1, would become not set']],
    [{ port: 2222, user: 'ann' }, { host: { host: 'tunl.example.com' } }, {}, ['  --user: now ann, would become pi', '  --port: now 2222, would become 22']],
    [{ forwards: forwards('-R 1:a:2', '-L 3:b:4') }, { remotePort: 22222 }, {}, ['  --local-forward: now 3:b:4, would become not set']],
    [{ onDown: ['/bin/tell', 'a b'] }, { onUp: [] }, {}, ["  --on-down: now /bin/tell 'a b', would become not set"]],
    [{ identityFile: '/k' }, { keepalive: 4 }, {}, ['  --key: now /k, would become /root/.ssh/id_ed25519']],
  ])('%j, %j: each setting is named', (installed, draft, wanted, lines) => {
    const refusal = thrown(() => refuseDropped(draft, exampleTunnel(installed), exampleTunnel(wanted), circumstances()));
    expect(refusal).toMatchObject({ exitCode: 2, id: 'would-drop-settings' });
    expect(refusal?.message.split('\n').slice(1)).toEqual(lines);
  });

  test.each<[Partial<Tunnel>, Draft]>([
    [{}, {}],
    [{ keepalive: 9 }, { keepalive: 4 }],
    [{ port: 2222 }, { host: { host: 'tunl.example.com', port: 22 } }],
    [{ port: 2222 }, { port: 22 }],
    [{ jump: [{ host: 'a', user: 'b', port: 1 }] }, { jump: [] }],
    [{ identityFile: '/etc/revtun/home/key' }, { key: '/root/.ssh/id_ed25519' }],
    [{ onDown: ['/a'], onUp: ['/b'] }, { onDown: [], onUp: ['/c'] }],
    // Whether it releases follows from the account, and is seen anew.
    [{ release: true }, {}],
  ])('%j, %j: what is said may change', (installed, draft) => {
    expect(thrown(() => refuseDropped(draft, exampleTunnel(installed), exampleTunnel(), circumstances()))).toBeUndefined();
  });

  test('is refused with a command that keeps all it did not speak of', async () => {
    let refusals = 0;
    const flag = fc.constantFrom<keyof Draft>('user', 'port', 'jump', 'key', 'keepalive', 'cipher', 'remoteForward', 'localForward', 'dynamicForward');
    await fc.assert(fc.asyncProperty(arbitrary.tunnelOf('system'), arbitrary.tunnelOf('system'), fc.uniqueArray(flag), async (installed, other, said) => {
      const { who } = circumstances();
      const spoken = new Set(said);
      const of = (kind: string) => other.forwards.filter((forward) => forward.kind === kind);
      const all: Draft = {
        user: other.user, port: other.port, jump: other.jump, key: other.identityFile, keepalive: other.keepalive, cipher: other.ciphers,
        remoteForward: of('remote'), localForward: of('local'), dynamicForward: of('dynamic'),
      };
      // One forward has to be asked for, or there is no tunnel to speak of.
      const draft: Draft = { name: installed.name, host: { host: other.host }, key: '/default', remotePort: 22222, ...Object.fromEntries(Object.entries(all).filter(([key]) => spoken.has(key as keyof Draft))) };
      if (!spoken.has('key')) spoken.add('key');
      const refusal = await wantedTunnel(draft, installedAs(installed), machine, circumstances()).catch((error: ExpectedError) => error);
      if (!(refusal instanceof Error)) return;
      refusals += 1;
      const line = /To keep them, type:\n {2}(.*)\n/.exec(refusal.hint)?.[1];
      const kept = await readByProgram(pasted(line!), who);
      const keep = <T>(key: keyof Draft, before: T, now: T) => (spoken.has(key) ? now : before);
      const forwardsNow = [...forwards('-R 127.0.0.1:22222:localhost:22'), ...(draft.remoteForward ?? [])];
      expect(kept).toEqual({
        ...installed,
        host: other.host,
        user: keep('user', installed.user, other.user),
        port: keep('port', installed.port, other.port),
        jump: keep('jump', installed.jump, other.jump),
        identityFile: draft.key,
        keepalive: keep('keepalive', installed.keepalive, other.keepalive),
        ciphers: keep('cipher', installed.ciphers, other.ciphers),
        release: keep('user', installed.release, isDeviceAccount(other.user)),
        forwards: [
          ...forwardsNow,
          ...keep('localForward', installed.forwards, other.forwards).filter(({ kind }) => kind === 'local'),
          ...keep('dynamicForward', installed.forwards, other.forwards).filter(({ kind }) => kind === 'dynamic'),
        ],
      });
    }), { numRuns: 100 });
    expect(refusals).toBeGreaterThan(50);
  });
});

describe('a run', () => {
  const places = placesOf('system', 'home', '');
  const existing: Installed = { name: 'home', scope: 'system', places, tunnel: exampleTunnel(), lingering: false };
  const wanted = (draft: Draft, installed?: Installed) => wantedTunnel(draft, installed, machine, { who: { ...caller.who, uid: 0 }, aes: false });

  test('that says nothing means the installed tunnel', async () => {
    expect(await wanted({ name: 'home', yes: true }, existing)).toEqual({ tunnel: exampleTunnel(), notes: [] });
  });

  test('that says only who is to be told means the installed tunnel with that', async () => {
    const telling = { ...existing, tunnel: exampleTunnel({ onDown: ['/a'], onUp: ['/b'] }) };
    expect(await wanted({ name: 'home', onUp: ['/c', 'd'] }, telling)).toEqual({ tunnel: exampleTunnel({ onDown: ['/a'], onUp: ['/c', 'd'] }), notes: [] });
    expect(await wanted({ name: 'home', onDown: [], onUp: [] }, telling)).toEqual({ tunnel: exampleTunnel(), notes: [] });
  });

  test('that says nothing about a damaged record is refused', async () => {
    await expect(wanted({ name: 'home' }, { ...existing, tunnel: undefined })).rejects.toThrow(expect.objectContaining({ id: 'record-damaged', exitCode: 1 }));
  });

  test('over a damaged record is what it says', async () => {
    const { tunnel } = await wanted({ name: 'home', host: { host: 'h' }, user: 'u', key: '/k', remotePort: 1 }, { ...existing, tunnel: undefined });
    expect(tunnel).toMatchObject({ name: 'home', host: 'h' });
  });

  test('that names what is not there says so', async () => {
    await expect(wanted({ name: 'away' })).rejects.toThrow('There is no tunnel "away" yet.');
  });
});

test('every risk of a tunnel is accepted by its command', () => {
  fc.assert(fc.property(arbitrary.tunnel, (tunnel) => {
    const argv = installCommand(tunnel, { who: { uid: 0, userName: 'root', home: '/root', env: {} }, aes });
    const accepted = argv.flatMap((word) => (word.startsWith('--accept-risk=') ? [word.slice(14)] : []));
    expect(new Set(accepted)).toEqual(new Set(risksOf(tunnel).map(({ risk }) => risk)));
  }));
});

function thrown(work: () => void): ExpectedError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    return error as ExpectedError;
  }
}
