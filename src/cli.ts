#!/usr/bin/env node
import { writeSync } from 'node:fs';
import { version } from './package.ts';

const argv = process.argv.slice(2);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
// As package.json says in "engines": ^20.17 || ^22.13 || >=23.5
const isNewEnough = (major === 20 && minor >= 17) || (major === 22 && minor >= 13) || (major === 23 && minor >= 5) || major >= 24;

if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  // Scripts ask for the version; it should cost no more than starting Node does. process.stdout alone takes 3 ms.
  writeSync(1, `${version()}\n`);
} else if (!isNewEnough) {
  // Checked here, because an older Node would fail while it loads the rest, and not in words.
  writeSync(2, `revtun-setup: Node ${process.versions.node} is too old: it needs Node 20.17+, 22.13+ or 23.5+.\n`);
  process.exitCode = 1;
} else {
  // Only what Node cannot find out comes this far: a working directory that was removed, a user without a name.
  import('./main.ts').catch((error: unknown) => {
    const message = (error as Error).message;
    const hint = 'Change to a directory that is there, and run it as a user that /etc/passwd knows.';
    if (argv.includes('--json')) writeSync(1, `${JSON.stringify({ ok: false, changed: false, error: { code: 'system', message, hint } })}\n`);
    writeSync(2, `revtun-setup: ${message}\n${hint}\n`);
    process.exitCode = 1;
  });
}
