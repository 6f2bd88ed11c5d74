#!/usr/bin/env node
import { writeSync } from 'node:fs';
import { version } from './package.ts';

const argv = process.argv.slice(2);
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);

if (argv.length === 1 && (argv[0] === '--version' || argv[0] === '-V')) {
  // Scripts ask for the version; it should cost no more than starting Node does. process.stdout alone takes 3 ms.
  writeSync(1, `${version()}\n`);
} else if (major < 20 || (major === 20 && minor < 17)) {
  // Checked here, because an older Node would fail while it loads the rest, and not in words.
  writeSync(2, `revtun-setup: Node ${process.versions.node} is too old: it needs 20.17 or newer.\n`);
  process.exitCode = 1;
} else {
  void import('./main.ts');
}
