import { local, whoAmI } from './machine/local.ts';
import { run } from './program/run.ts';

const stopping = new AbortController();
// The first signal asks what runs to undo itself; a person who insists can still use SIGKILL, which is safe too.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => stopping.abort());
// The terminal may hang up because it came through the very tunnel that a change restarts. What was begun is then
// finished and proven, or undone; there is just nobody left to read it.
process.on('SIGHUP', () => undefined);
for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);

process.exitCode = await run({
  argv: process.argv.slice(2),
  program: programWords(),
  machine: local,
  who: whoAmI(),
  cwd: process.cwd(),
  signal: stopping.signal,
  terminal: process.stdin.isTTY && process.stderr.isTTY,
});
// What was given up for its slowness may still be under way, such as a connection, and nobody waits for it any more.
setInterval(() => {
  if (process.stdout.writableLength + process.stderr.writableLength === 0) process.exit();
}, 300).unref();

/** What to type to run this program from anywhere, under sudo too, which knows only the system's own directories. */
function programWords(): string[] {
  const script = process.argv[1] ?? '';
  return script.startsWith('/usr/') ? ['revtun-setup'] : [process.execPath, script];
}
