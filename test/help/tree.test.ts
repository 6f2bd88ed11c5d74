import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { CATALOGUE } from '../../src/doctor/catalogue.ts';
import { helpFiles } from '../../src/help/files.ts';
import { defaultPage, readTree } from '../../src/help/tree.ts';
import { valuesOf } from '../../src/help/values.ts';
import { FIELDS, flagOf, variableOf } from '../../src/input/fields.ts';
import { ExitCode } from '../../src/errors.ts';
import { RISKS } from '../../src/tunnel/tunnel.ts';

const pages = readTree();
const files = helpFiles('2026-01-31');
const man = files['man/revtun-setup.1']!.replaceAll('\\-', '-');
const bash = files['completions/revtun-setup.bash']!;
const zsh = files['completions/_revtun-setup']!;
const fish = files['completions/revtun-setup.fish']!;

const pathOf = ({ words }: { words: readonly string[] }) => words.join(' ');

test('the table of commands is read to its last branch', () => {
  expect(pages.map(pathOf)).toEqual(expect.arrayContaining(['', 'install', 'uninstall', 'status', 'server', 'server add', 'server script', 'server script add']));
  expect(pages.find((page) => pathOf(page) === 'uninstall')).toMatchObject({ places: [{ name: 'NAME', required: false, many: true }] });
  expect(defaultPage(pages).flags.map(({ shown }) => shown)).toEqual(expect.arrayContaining(FIELDS.map(({ flags }) => flags)));
  expect(pages.every(({ summary, description }) => summary !== '' || description !== '')).toBe(true);
});

test('whatever the sources add to the tree is in the man page and in each completion', () => {
  const program = new URL('../../src/program/', import.meta.url);
  const sources = readdirSync(program).map((file) => readFileSync(new URL(file, program), 'utf8')).join('\n');
  const added = (pattern: RegExp) => [...sources.matchAll(pattern)].map(([, name]) => name!);
  const commands = added(/\.command\('([a-z-]+)'/g);
  const flags = [...added(/(?:option|Option)\(\s*'(?:-[a-zA-Z], )?(--[a-z-]+)/g), ...FIELDS.map(flagOf)];
  expect([commands.length, flags.length].map((count) => count > 14)).toEqual([true, true]);
  for (const text of [man, bash, zsh, fish.replaceAll(' -l ', ' --')]) {
    const words = new Set(text.match(/-{0,2}[a-z][a-z-]*/g));
    expect([...commands, ...flags].filter((word) => !words.has(word))).toEqual([]);
  }
});

describe.each(pages.map((page) => [pathOf(page), page] as const))('"%s"', (path, page) => {
  const flags = page.flags.flatMap(({ names }) => names);

  test('stands in the man page with its words and its flags', () => {
    if (path !== '') expect(man).toContain(`\n.SS ${path}`);
    const from = path === '' ? man.indexOf('.SH OPTIONS') : man.indexOf(`\n.SS ${path}`);
    const chapter = man.slice(from, /\n\.S[SH] /.exec(man.slice(from + 1))!.index + from + 1);
    const named: readonly string[] = chapter.match(/--?[A-Za-z][A-Za-z-]*/g) ?? [];
    expect(page.flags.map(({ names }) => names.at(-1)!).filter((flag) => !named.includes(flag))).toEqual([]);
  });

  test("stands in each shell's completion with its flags and the commands below it", () => {
    const inBash = bash.slice(bash.indexOf(`\n    '${path}')\n`)).split('\n      ;;\n')[0]!;
    const inZsh = zsh.slice(zsh.indexOf(`\n    '${path}')\n`)).split('&& ret=0 ;;\n')[0]!;
    const inFish = fish.split('\n').filter((line) => line.includes(`'__revtun_setup_at \\'${path}\\'`)).join('\n');
    const [commandsOfBash, flagsOfBash] = ['commands', 'flags'].map((list) => new RegExp(`^ *${list}='(.*)'$`, 'm').exec(inBash)![1]!.split(' '));
    const missing = [
      ...flags.filter((flag) => !flagsOfBash!.includes(flag)),
      ...flags.filter((flag) => !new RegExp(`[)*]${flag}[[=+]`).test(inZsh)),
      ...flags.filter((flag) => !`${inFish} `.includes(flag.startsWith('--') ? ` -l ${flag.slice(2)} ` : ` -s ${flag.slice(1)} `)),
      ...page.commands.filter(({ name }) => !commandsOfBash!.includes(name) || !inZsh.includes(`'${name}:`) || !inFish.includes(` -a ${name} `)),
    ];
    expect(missing).toEqual([]);
  });
});

describe('the man page', () => {
  test('names every variable and every exit code', () => {
    for (const field of FIELDS) expect(man).toContain(variableOf(field));
    for (const code of Object.values(ExitCode)) expect(man).toContain(`\n.TP\n.B ${code}\n`);
  });

  test('names no flag and no command that is not there', () => {
    const known = new Set(pages.flatMap(({ flags }) => flags.flatMap(({ names }) => names)));
    const named = man.slice(man.indexOf('.SH DESCRIPTION')).match(/--[a-z][a-z-]+/g) ?? [];
    expect(named.filter((flag) => !known.has(flag))).toEqual([]);
    const examples = man.slice(man.indexOf('.SH EXAMPLES')).match(/revtun-setup [a-z]+/g)!;
    expect(examples.length).toBeGreaterThan(2);
    expect(examples.filter((example) => !pages.some((page) => `revtun-setup ${pathOf(page)}` === example))).toEqual([]);
  });
});

test.each([
  ['NAME', 'tunnels'], ['DEST', 'hosts'], ['[USER@]HOST[:PORT]', 'hosts'], ['FILE.pub', 'files'], ['DIR', 'folders'], ['SECONDS', 'nothing'],
  ['system|user', ['system', 'user']], ['RISK', RISKS], ['ID', Object.keys(CATALOGUE)],
])('what is called %s completes to %j', (place, expected) => {
  expect(valuesOf(place)).toEqual(expected);
});
