import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CATALOGUE } from '../../src/doctor/catalogue.ts';
import { execute, succeed } from '../lab/child.ts';
import { freshFolder, repositoryRoot } from '../lab/paths.ts';
import { openTerminal, type Terminal } from '../lab/terminal.ts';

const built = (path: string) => join(repositoryRoot, 'dist', path);

let folder: string;
const at = (path: string) => join(folder, path);

/** ssh_config(5) and units as people have them, and as somebody would write them who means harm. */
const HOME: Readonly<Record<string, string>> = {
  '.ssh/config': [
    'Host alpha beta *.example.com !gamma # none', 'hOsT=delta', 'Include conf.d/*.conf', 'Include ~/.ssh/"my hosts"', 'Include conf.d/*(e:touch${IFS}harm:)',
    'Host $(touch${IFS}harm) `touch harm` ;touch -oProxyCommand=harm', 'Match host delta', '  Host = "quoted"',
  ].join('\n'),
  '.ssh/conf.d/work.conf': 'Host included\n  HostName 192.0.2.1\n',
  '.ssh/conf.d/other.txt': 'Host unincluded\n',
  '.config/systemd/user/revtun-kiosk.service': '# Written by revtun-setup 0.1.0. …\n',
  '.config/systemd/user/revtun-kitchen.service': '# Written by revtun-setup 0.1.0. …\n',
  '.config/systemd/user/revtun-kinder.service': '# Of somebody else\n',
  '.config/systemd/user/revtun-ki$(touch harm).service': '# Written by revtun-setup 0.1.0. …\n',
  'files/key': '', 'files/kept/.keep': '',
  '.zshrc': `PS1='ready> '; fpath=('${built('completions')}' $fpath); autoload -Uz compinit; compinit -D -u
zle -C all-matches complete-word _generic; bindkey '^D' all-matches
zstyle ':completion:all-matches:*' insert yes; zstyle ':completion:all-matches::::' completer _all_matches _complete\n`,
  bare: `PS1='ready> '; bind '"\\C-d": insert-completions'; source '${built('completions/revtun-setup.bash')}'\n`,
  full: 'source /usr/share/bash-completion/bash_completion; source ~/bare\n',
};

beforeAll(() => {
  folder = freshFolder();
  for (const [path, text] of Object.entries(HOME)) {
    mkdirSync(join(at(path), '..'), { recursive: true });
    writeFileSync(at(path), text);
  }
  // Whoever completes must not wait for these.
  mkdirSync(at('bin'));
  for (const program of ['node', 'revtun-setup']) writeFileSync(at(`bin/${program}`), `#!/bin/sh\ntouch '${at('started')}'\n`, { mode: 0o755 });
  cpSync(built('completions/revtun-setup.fish'), at('.config/fish/completions/revtun-setup.fish'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const environment = () => ({ HOME: folder, ZDOTDIR: folder, XDG_CONFIG_HOME: at('.config'), XDG_DATA_HOME: at('.local/share'), PATH: `${at('bin')}:/usr/bin:/bin`, LC_ALL: 'C.UTF-8' });

type Complete = (line: string) => Promise<string[]>;

/** A shell at a real terminal, where Ctrl-D puts everything it would offer into the line. */
function atTerminal(argv: () => readonly string[]): { open: () => Promise<void>; close: () => Promise<void>; complete: Complete } {
  let terminal: Terminal;
  let count = 0;
  return {
    open: async () => {
      terminal = await openTerminal({ argv: argv(), cwd: folder, env: environment(), columns: 1500, rows: 100 });
      await terminal.waitForText('ready>');
    },
    close: async () => terminal?.close(),
    complete: async (line) => {
      const end = `#${++count}#`;
      // Ctrl-U takes away what the last one left.
      await terminal.type(`\x15${line}\x04${end}`);
      const shown = (await terminal.waitForText(end)).split('\n').find((one) => one.includes(end))!;
      const before = line.slice(0, line.lastIndexOf(' ') + 1);
      const typed = line.slice(before.length);
      const words = shown.slice(shown.indexOf(before) + before.length, shown.indexOf(end)).trim().split(/\s+/);
      return words.length === 1 && words[0] === typed ? [] : words;
    },
  };
}

const fish = {
  open: () => Promise.resolve(),
  close: () => Promise.resolve(),
  complete: async (line: string) => {
    const offered = await succeed(['fish', '-c', 'complete -C $argv[1]', '--', line], { cwd: folder, env: environment() });
    return offered.split('\n').filter((one) => one !== '').map((one) => one.split('\t')[0]!);
  },
};

const SHELLS = {
  'bash alone': atTerminal(() => ['bash', '--noprofile', '--rcfile', at('bare'), '-i']),
  'bash with bash-completion': atTerminal(() => ['bash', '--noprofile', '--rcfile', at('full'), '-i']),
  zsh: atTerminal(() => ['zsh', '-d', '-i']),
  fish,
};

const HOSTS = ['alpha', 'beta', 'delta', 'included', 'quoted'];

describe.each(Object.keys(SHELLS) as (keyof typeof SHELLS)[])('%s', (name) => {
  const shell = SHELLS[name];
  beforeAll(() => shell.open());
  afterAll(() => shell.close());
  // What all shells agree on: without --host= before each value, without a slash after a folder.
  const offered = async (line: string) => (await shell.complete(line)).map((word) => word.replace(/^--[a-z-]+=/, '').replace(/\/$/, '')).toSorted();

  test.each<[string, readonly string[]]>([
    ['un', ['uninstall']],
    ['--json li', ['list']],
    ['server re', ['remove']],
    ['server ', ['add', 'check', 'list', 'remove', 'script', 'setup']],
    ['server script ', ['add', 'setup']],
    ['nosu', []],
    ['logs --f', ['--follow']],
    ['server list -', ['--dry-run', '--help', '--json', '--quiet', '--yes', '-h', '-q', '-y']],
    ['--accept-n', ['--accept-new-host-key']],
    ['kiosk --accept-n', ['--accept-new-host-key']],
    ['server script add --uid 70000 kiosk --se', ['--selinux']],
    ['server setup --remote-p', []],
    ['status ', ['kiosk', 'kitchen']],
    ['uninstall kiosk ki', ['kiosk', 'kitchen']],
    ['logs --lines 5 kio', ['kiosk']],
    ['status --scope user kit', ['kitchen']],
    ['--json status --quiet kit', ['kitchen']],
    ['doctor ki', ['kiosk', 'kitchen']],
    ['install --host ', HOSTS],
    ['--host=', HOSTS],
    ['--host=in', ['included']],
    ['--host pi@q', ['pi@quoted']],
    ['install --server-admin root@al', ['root@alpha']],
    ['install --jump alpha,be', ['alpha,beta']],
    ['server setup ', HOSTS],
    ['server check --json in', ['included']],
    ['server add --remote-port 22222 device de', ['delta']],
    ['install --remote-port ', []],
    ['--scope ', ['system', 'user']],
    ['install --accept-risk pu', ['public']],
    ['doctor --explain ', Object.keys(CATALOGUE).toSorted()],
    ['install --key files/k', ['files/kept', 'files/key']],
    ['server add --key=files/ke', ['files/kept', 'files/key']],
    ['render --output files/k', ['files/kept']],
    ['install home -- ', ['ssh']],
    ['install home -- ssh al', ['alpha']],
    ['status "$(touch harm)', []],
    ['--host `touch harm`', []],
  ])('revtun-setup %s', async (line, expected) => {
    expect(await offered(`revtun-setup ${line}`)).toEqual(expected);
  });

  if (name !== 'bash alone') {
    test('completes what follows -- as ssh does, and what follows sudo', async () => {
      expect(await offered('revtun-setup install home -- ssh -o IdentityF')).toEqual([expect.stringMatching(/^IdentityFile=?$/)]);
      expect(await offered('sudo revtun-setup uninstall kit')).toEqual(['kitchen']);
    });
  }

  test('nothing of that started Node.js, the program, or what stands in files and on the line', () => {
    expect([existsSync(at('started')), readdirSync(folder, { recursive: true }).filter((path) => String(path).endsWith('harm'))]).toEqual([false, []]);
  });
});

describe('what the build wrote', () => {
  test.each([
    ['shellcheck', '-s', 'bash', built('completions/revtun-setup.bash')],
    ['zsh', '-n', built('completions/_revtun-setup')],
    ['fish', '-n', built('completions/revtun-setup.fish')],
    ['shellcheck', '-s', 'sh', ...['tunnels', 'hosts'].map((name) => join(repositoryRoot, `templates/completion-${name}.sh`))],
    ['groff', '-man', '-ww', '-z', built('man/revtun-setup.1')],
    ['mandoc', '-T', 'lint', built('man/revtun-setup.1')],
  ])('%s has nothing to say against it: %s %s %s', async (...argv) => {
    expect(await execute(argv)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('an ssh_config that includes itself ends, as it does for ssh', async () => {
    const home = at('loop');
    mkdirSync(join(home, '.ssh'), { recursive: true });
    writeFileSync(join(home, '.ssh/config'), 'Host first\nInclude config\nInclude config\nHost never\n');
    const { stdout } = await execute(['sh', join(repositoryRoot, 'templates/completion-hosts.sh')], { env: { HOME: home }, timeoutMs: 5000 });
    expect(stdout).toBe('first\n');
  });
});
