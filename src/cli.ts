#!/usr/bin/env node
import { version } from './package.ts';

const argv = process.argv.slice(2);

// Scripts ask for the version; it should cost no more than starting Node does.
if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  process.stdout.write(`${version()}\n`);
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
    machine: local,
    who: whoAmI(),
    cwd: process.cwd(),
    signal: stopping.signal,
    terminal: process.stdin.isTTY && process.stderr.isTTY,
  });
}
