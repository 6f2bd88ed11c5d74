#!/usr/bin/env node
import { version } from './package.ts';

const argv = process.argv.slice(2);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

// Scripts ask for the version; it should cost no more than starting Node does.
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.write(`${version()}\n`);
} else if (major < 20 || (major === 20 && minor < 17)) {
  // Checked here, because an older Node would fail while it loads the rest, and not in words.
  process.stderr.write(`revtun-setup: Node ${process.versions.node} is too old: it needs 20.17 or newer.\n`);
  process.exitCode = 1;
} else {
  const [{ run }, { local, whoAmI }] = await Promise.all([import('./program.ts'), import('./machine/local.ts')]);
  const stopping = new AbortController();
  // The first signal asks what runs to undo itself; a person who insists can still use SIGKILL, which is safe too.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
  // The terminal may hang up because it came through the very tunnel that a change restarts. What was begun is then
  // finished and proven, or undone; there is just nobody left to read it.
  process.on('SIGHUP', () => undefined);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
  process.exitCode = await run({
    argv,
    program: programWords(),
    machine: local,
    who: whoAmI(),
    cwd: process.cwd(),
    signal: stopping.signal,
    terminal: process.stdin.isTTY && process.stderr.isTTY,
  });
}

/** What to type to run this program from anywhere, under sudo too, which knows only the system's own directories. */
function programWords(): string[] {
  const script = process.argv[1] ?? '';
  return script.startsWith('/usr/') ? ['revtun-setup'] : [process.execPath, script];
}
