/**
 * Runs a TypeScript program of test/, which Node 20 cannot do by itself: `node test/ts.js test/run.ts ARGUMENTS`.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join, resolve } from 'node:path';
import { build } from 'esbuild';

const [program, ...args] = process.argv.slice(2);
if (program === undefined) throw new Error('usage: node test/ts.js PROGRAM.ts [ARGUMENT…]');

// Below node_modules, so that the program finds the libraries which are left out of the bundle.
const cache = fileURLToPath(new URL('../node_modules/.cache', import.meta.url));
mkdirSync(cache, { recursive: true });
const folder = mkdtempSync(join(cache, 'program-'));
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const outfile = join(folder, 'program.mjs');
await build({
  entryPoints: [resolve(program)],
  outfile,
  bundle: true,
  packages: 'external',
  format: 'esm',
  platform: 'node',
  target: 'node20',
  sourcemap: 'inline',
  logLevel: 'warning',
  plugins: [{ name: 'own-place', setup: (bundle) => bundle.onLoad({ filter: /\.ts$/ }, withOwnPlace) }],
});
process.argv = [process.execPath, resolve(program), ...args];
process.setSourceMapsEnabled(true);
await import(pathToFileURL(outfile).href);

/**
 * Files are looked for beside the module that names them, so each keeps its own URL in the bundle.
 * @param {{ path: string }} module
 * @returns {import('esbuild').OnLoadResult}
 */
function withOwnPlace({ path }) {
  const url = JSON.stringify(pathToFileURL(path).href);
  return { loader: 'ts', contents: readFileSync(path, 'utf8').replaceAll('import.meta.url', url) };
}
