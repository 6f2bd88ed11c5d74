/**
 * Makes dist/ (or the folder named as argument): the program with all its libraries in it, so that nothing has to be
 * installed beside it, the licences of those libraries, the man page and what shells complete. Plain JavaScript, since
 * Node 20 runs no TypeScript.
 */
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const outdir = resolve(process.argv[2] ?? join(root, 'dist'));

/** @satisfies {import('esbuild').BuildOptions} */
const common = {
  absWorkingDir: root,
  outdir,
  bundle: true,
  platform: 'node',
  target: 'node20',
  legalComments: 'eof',
  logLevel: 'warning',
};

// Libraries that are CommonJS call require() for Node's own modules.
const banner = { js: "import { createRequire } from 'node:module'; const require = createRequire(import.meta.url);" };

const { metafile } = await build({
  ...common,
  entryPoints: ['src/main.ts'],
  format: 'esm',
  // A chunk is read when it is needed: no command pays for the wizard.
  splitting: true,
  chunkNames: '[name]-[hash]',
  banner,
  metafile: true,
});
await writeHelp();

// The door is CommonJS, which Node opens in half the time; the house behind it loads only if it is entered.
await build({
  ...common,
  entryPoints: ['src/cli.ts'],
  outExtension: { '.js': '.cjs' },
  format: 'cjs',
  define: { 'import.meta.url': 'moduleUrl' },
  banner: { js: "const moduleUrl = require('node:url').pathToFileURL(__filename);" },
  plugins: [{
    name: 'the house behind the door',
    setup: (building) => building.onResolve({ filter: /^\.\/main\.ts$/ }, () => ({ path: './main.js', external: true })),
  }],
});
writeFileSync(join(outdir, 'THIRD-PARTY-LICENSES'), thirdPartyLicences(Object.keys(metafile.inputs)));
removeChunksBut(Object.keys(metafile.outputs).map((path) => relative(outdir, join(root, path))));

/** The help for man(1) and for shells, as the table of commands has it. */
async function writeHelp() {
  const program = join(outdir, 'help.mjs');
  // It reads package.json and templates/ beside src/, wherever dist/ is.
  const place = JSON.stringify(pathToFileURL(join(root, 'src/package.ts')).href);
  await build({
    ...common,
    entryPoints: [{ in: 'src/help/files.ts', out: 'help' }],
    outExtension: { '.js': '.mjs' },
    format: 'esm',
    banner,
    define: { 'import.meta.url': place },
  });
  try {
    const { helpFiles } = await import(pathToFileURL(program).href);
    // As in every build that has to come out the same again: reproducible-builds.org/specs/source-date-epoch.
    const seconds = process.env['SOURCE_DATE_EPOCH'];
    const day = (seconds === undefined ? new Date() : new Date(Number(seconds) * 1000)).toISOString().slice(0, 10);
    for (const [path, text] of Object.entries(helpFiles(day))) {
      mkdirSync(dirname(join(outdir, path)), { recursive: true });
      writeFileSync(join(outdir, path), text);
    }
  } finally {
    rmSync(program);
  }
}

/**
 * The libraries among the bundled files, each with its licence's own words, as most licences ask for.
 * @param {readonly string[]} inputs paths of the bundled files, from the repository's root
 */
function thirdPartyLicences(inputs) {
  const folders = new Set(inputs.map((path) => /^.*node_modules\/(?:@[^/]+\/)?[^/]+(?=\/)/.exec(path)?.[0]).filter((folder) => folder !== undefined));
  const chapters = [...folders].toSorted().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'));
    const files = readdirSync(join(root, folder)).filter((file) => /^(licen[cs]e|copying|notice)/i.test(file)).toSorted();
    if (files.length === 0) throw new Error(`${folder} has no file with its licence: find out what it asks for`);
    const texts = files.map((file) => readFileSync(join(root, folder, file), 'utf8').replaceAll('\r\n', '\n').trim());
    return [`${name} ${version} (${license})`, ...texts].join('\n\n');
  });
  return ['dist/ contains these libraries.', ...chapters].join(`\n\n${'-'.repeat(80)}\n\n`) + '\n';
}

/**
 * Chunks of an earlier build would be packed and installed with those of this one.
 * @param {readonly string[]} names of this build's files
 */
function removeChunksBut(names) {
  const chunks = readdirSync(outdir).filter((name) => name.endsWith('.js'));
  for (const name of chunks) if (!names.includes(name)) rmSync(join(outdir, name));
}
