import { describe, expect, test } from '@jest/globals';
import fc from 'fast-check';
import { FORWARD_FLAG, formatForward, type Forward, type ForwardKind, parseForward } from '../../src/tunnel/forward.ts';
import { SSH, sshConfig, tunnelArgv } from '../../src/tunnel/ssh.ts';
import { execute } from '../lab/child.ts';
import { type Release, treeOf } from '../lab/disk.ts';
import { hasRelease } from '../lab/requirements.ts';
import * as arbitrary from '../tunnel/arbitrary.ts';

/** This machine's ssh, and those of other Debian releases as far as their trees are here. */
const releases: Release[] = ['host', ...(['bullseye', 'trixie'] as const).filter(hasRelease)];

/** ssh tells what it was given twice only once. */
const forwards = fc.uniqueArray(arbitrary.forward, { minLength: 1, maxLength: 20, selector: (forward) => forward.kind + formatForward(forward) });

/** What ssh makes of a command line, by its own parser; it connects nowhere. */
const sshG = (release: Release, words: readonly string[]) =>
  execute([...(release === 'host' ? [] : ['chroot', treeOf(release)]), SSH, '-F', 'none', '-T', '-G', ...words]);

describe.each(releases)('the ssh of %s', (release) => {
  /** What `ssh -G` says of forwards in its own words; undefined when it refuses them. */
  const asked = async (words: readonly string[]): Promise<string[] | undefined> => {
    const { code, stdout } = await sshG(release, [...words, '--', 'host']);
    if (code !== 0) return undefined;
    const lines = stdout.split('\n').filter((line) => /^(remote|local|dynamic)forward /.test(line));
    // It lists a local forward to a socket among the dynamic ones, too.
    const isGhost = (line: string) => line.startsWith('dynamic') && lines.some((other) => other.startsWith(`${line.replace('dynamic', 'local')} /`));
    return lines.filter((line) => !isGhost(line));
  };

  const inSshWords = ({ kind, listen, target }: Forward) => {
    const end = (endpoint: Forward['listen']) =>
      'path' in endpoint ? endpoint.path : endpoint.host === undefined ? String(endpoint.port) : `[${endpoint.host}]:${endpoint.port}`;
    if (target !== 'socks') return `${kind}forward ${end(listen)} ${end(target)}`;
    return `${kind}forward ${end(listen)}${kind === 'remote' ? ' [socks]:0' : ''}`;
  };

  // ssh keeps the two spellings of "everywhere" apart; they mean the same.
  const normal = (line: string) => line.replace('[]:', '[*]:');

  // ssh 10 lists a port that is to be listened on twice only once; no tunnel can have it twice.
  const listensOnce = (given: readonly Forward[]) => {
    const ends = given.filter(({ kind }) => kind !== 'remote').map(({ listen }) => JSON.stringify(listen));
    return new Set(ends).size === ends.length;
  };

  test('reads every forward of ours as it was meant', async () => {
    await fc.assert(fc.asyncProperty(forwards.filter(listensOnce), async (given) => {
      const said = await asked(given.flatMap((forward) => [FORWARD_FLAG[forward.kind], formatForward(forward)]));
      expect(said?.toSorted()).toEqual(given.map(inSshWords).toSorted());
    }), { numRuns: 100 });
  });

  test('accepts what we accept, however it is spelt, and means the same', async () => {
    const field = fc.constantFrom(
      '', '0', '1', '22', '65535', '65536', '022', '-1', '2x', ' 3', 'localhost', 'ssh', '*', '[]', '[*]', '[::1]', '::1', '127.0.0.1', '[h]', '-l',
      '/s', '/a b', 's/x', '[/s]', String.raw`/a\:b`, String.raw`\x`, '%h', '${HOME}', 'ü',
    );
    const spec = fc.array(field, { minLength: 1, maxLength: 5 }).map((fields) => fields.join(':'));
    let accepted = 0;
    await fc.assert(fc.asyncProperty(fc.constantFrom<ForwardKind>('remote', 'local', 'dynamic'), spec, async (kind, text) => {
      let ours: Forward;
      try {
        ours = parseForward(kind, text);
      } catch {
        return; // we may be stricter
      }
      accepted += 1;
      expect((await asked([FORWARD_FLAG[kind], text]))?.map(normal)).toEqual([inSshWords(ours)].map(normal));
    }), { numRuns: 5000 });
    expect(accepted).toBeGreaterThan(50);
  });

  test('accepts every tunnel and its configuration, and means the same server', async () => {
    await fc.assert(fc.asyncProperty(arbitrary.tunnel, async (tunnel) => {
      const argv = tunnelArgv(tunnel, 'CONFIG');
      const words = [...argv.slice(2, argv.indexOf('-F')), ...argv.slice(argv.indexOf('-F') + 2)];
      const options = sshConfig(tunnel, '/etc/revtun/a b/known_hosts').split('\n').slice(1, -1).flatMap((line) => ['-o', line.trim()]);
      const { code, stdout, stderr } = await sshG(release, [...options, ...words]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      const values = new Map(stdout.split('\n').map((line) => [line.split(' ')[0], line.slice(line.indexOf(' ') + 1)]));
      expect({ hostname: values.get('hostname'), user: values.get('user'), port: values.get('port'), interval: values.get('serveraliveinterval') })
        .toEqual({ hostname: tunnel.host, user: tunnel.user, port: String(tunnel.port), interval: String(tunnel.keepalive) });
      expect(values.has('proxyjump')).toBe(tunnel.jump.length > 0);
      expect(values.get('identityfile')).toBe('${CREDENTIALS_DIRECTORY}/key');
      expect(values.get('userknownhostsfile')).toMatch(/^"?\/etc\/revtun\/a b\/known_hosts"?$/);
    }), { numRuns: 150 });
  });
});
