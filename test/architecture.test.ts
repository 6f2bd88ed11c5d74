import { describe, expect, test } from '@jest/globals';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { repositoryRoot } from './lab/paths.ts';

const src = join(repositoryRoot, 'src');
const files = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts')).toSorted();

interface Import {
  readonly from: string;
  /** A file of src, or the name of a package. */
  readonly to: string;
  readonly lazy: boolean;
  readonly typeOnly: boolean;
}

const IMPORT = /^(?:import|export) (type )?[^;']*? from '([^']+)'|^import '([^']+)'|\bimport\('([^']+)'\)/gm;

const imports: readonly Import[] = files.flatMap((from) =>
  [...readFileSync(join(src, from), 'utf8').matchAll(IMPORT)].map(([, typeOnly, named, bare, lazy]) => {
    const target = named ?? bare ?? lazy ?? '';
    return { from, to: target.startsWith('.') ? relative(src, join(src, dirname(from), target)) : target, lazy: lazy !== undefined, typeOnly: typeOnly !== undefined };
  }));

/** By place: the places below it. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  tunnel: [],
  machine: [],
  unit: ['tunnel', 'machine'],
  checks: ['server', 'tunnel', 'machine'],
  server: ['tunnel', 'machine'],
  plan: ['server', 'unit', 'tunnel', 'machine'],
  input: ['checks', 'server', 'unit', 'tunnel', 'machine'],
  doctor: ['plan', 'checks', 'server', 'unit', 'tunnel', 'machine'],
  demo: ['checks', 'unit', 'tunnel', 'machine'],
  commands: ['demo', 'doctor', 'input', 'plan', 'checks', 'server', 'unit', 'tunnel', 'machine'],
  program: ['commands', 'input', 'server', 'tunnel', 'machine'],
  help: ['program', 'doctor', 'input', 'tunnel'],
  'main.ts': ['program', 'machine'],
  'cli.ts': ['main.ts'],
};
/** What all may use; they know nothing but each other. */
const LEAVES = ['errors.ts', 'shell.ts', 'package.ts', 'template.ts', 'output.ts', 'screen.ts', 'wrap.ts'];
/** What runs is cli.ts; the build runs the other. */
const STARTS = ['cli.ts', 'help/files.ts'];

const placeOf = (file: string) => (file.includes('/') ? file.slice(0, file.indexOf('/')) : file);
const isOwn = (target: string) => target.endsWith('.ts');

test('the imports of every file were read', () => {
  const statements = files.flatMap((file) => readFileSync(join(src, file), 'utf8').split('\n').filter((line) => /^import |^} from |\bawait import\(/.test(line)));
  const opened = statements.filter((line) => /^import (type )?\{$/.test(line)).length;
  expect(imports.length).toBeGreaterThanOrEqual(statements.length - opened);
  for (const { from, to } of imports.filter((one) => isOwn(one.to))) expect([from, existsSync(join(src, to))]).toEqual([from, true]);
});

describe('arrows only go down:', () => {
  test.each(files)('%s', (file) => {
    const own = imports.filter(({ from, to }) => from === file && isOwn(to)).map(({ to }) => to);
    if (LEAVES.includes(file)) return expect(own.filter((to) => !LEAVES.includes(to))).toEqual([]);
    const allowed = MAY_IMPORT[placeOf(file)];
    expect(allowed).toBeDefined();
    const wrong = own.filter((to) => !LEAVES.includes(to) && placeOf(to) !== placeOf(file) && !allowed!.includes(placeOf(to)));
    expect(wrong).toEqual([]);
  });
});

test('no file imports itself on a detour', () => {
  const circles: string[] = [];
  const visit = (file: string, trail: readonly string[]) => {
    if (trail.includes(file)) return void circles.push([...trail.slice(trail.indexOf(file)), file].join(' → '));
    // A type is gone before anything runs.
    for (const { to } of imports.filter(({ from, to: target, typeOnly, lazy }) => from === file && isOwn(target) && !typeOnly && !lazy)) visit(to, [...trail, file]);
  };
  for (const file of files) visit(file, []);
  expect([...new Set(circles)]).toEqual([]);
});

test.each<[string, readonly string[]]>([
  ['commander', [
    'deviceFlags', 'flags', 'lookCommands', 'previewCommands', 'run', 'serverCommands', 'serverScriptCommands', 'session', 'tree', 'tunnelCommands', 'words',
  ].map((name) => `program/${name}.ts`)],
  ['ejs', ['template.ts']],
  ['execa', ['machine/local.ts']],
  ['fs-extra', ['machine/local.ts']],
])('%s is imported by %j alone', (name, importers) => {
  expect(imports.filter(({ to }) => to === name).map(({ from }) => from)).toEqual(importers);
});

test('no other package is used, but for one that asks questions', () => {
  const packages = new Set(imports.map(({ to }) => to).filter((to) => !isOwn(to) && !to.startsWith('node:')));
  const others = [...packages].filter((name) => name !== 'inquirer' && !name.startsWith('@inquirer/'));
  expect(others.toSorted()).toEqual(['commander', 'ejs', 'execa', 'fs-extra']);
});

/** Everything that is loaded once this file is, or with `lazy`, that may ever be. */
function loadedBy(file: string, { lazy }: { lazy: boolean }, seen = new Set<string>()): Set<string> {
  if (seen.has(file)) return seen;
  seen.add(file);
  for (const one of imports) if (one.from === file && (lazy || !one.lazy) && !one.typeOnly) loadedBy(one.to, { lazy }, seen);
  return seen;
}

test('inquirer has one way in, and only a wizard waits for it', () => {
  const ofInquirer = imports.filter(({ to }) => to === 'inquirer' || to.startsWith('@inquirer/') || to === 'input/suggest.ts').map(({ from, to }) => [from, to]);
  expect(ofInquirer).toEqual([['input/ask.ts', 'inquirer'], ['input/ask.ts', 'input/suggest.ts'], ['input/suggest.ts', '@inquirer/core']]);
  for (const start of ['program/run.ts', ...files.filter((file) => /^commands\/(?!wizard\/)/.test(file))]) {
    expect([start, [...loadedBy(start, { lazy: false })].filter((to) => to === 'inquirer' || to.startsWith('@inquirer/'))]).toEqual([start, []]);
  }
});

test('only the process itself says which machine is meant', () => {
  const importers = imports.filter(({ to, typeOnly }) => to === 'machine/local.ts' && !typeOnly).map(({ from }) => from);
  expect(importers).toEqual(['main.ts']);
});

test('whoever asks for the version waits for nothing else', () => {
  expect([...loadedBy('cli.ts', { lazy: false })]).toEqual(['cli.ts', 'node:fs', 'package.ts']);
});

test('help for man(1) and shells is made by the build alone', () => {
  expect([...loadedBy('cli.ts', { lazy: true })].filter((file) => placeOf(file) === 'help')).toEqual([]);
});

test('every file has a use', () => {
  const used = new Set([...STARTS.flatMap((start) => [...loadedBy(start, { lazy: true })]), ...imports.filter(({ typeOnly }) => typeOnly).map(({ to }) => to)]);
  expect(files.filter((file) => !used.has(file))).toEqual([]);
});

test.each(files)('%s is short enough to be read at one sitting', (file) => {
  expect(readFileSync(join(src, file), 'utf8').split('\n').length).toBeLessThanOrEqual(300);
});
