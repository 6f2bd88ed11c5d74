import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ExitCode } from '../src/errors.ts';
import { readTree } from '../src/help/tree.ts';
import { FIELDS, flagOf } from '../src/input/fields.ts';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const sources = readdirSync(new URL('src/', root), { recursive: true }).map(String).filter((path) => path.endsWith('.ts')).map((path) => read(`src/${path}`));

describe('the documents', () => {
  test.each(FIELDS.map(({ flags, help }) => [flags, help]))('README: %s is in the table of flags, in the words of the help', (flags, help) => {
    const cell = (text: string) => text.replaceAll('|', String.raw`\|`);
    expect(read('README.md')).toContain(`| \`${cell(flags)}\` | ${cell(help)} |`);
  });

  test('README: the table of flags says which of them render takes', () => {
    const taken = readTree().find(({ words }) => words.join(' ') === 'render')!.flags.flatMap(({ names }) => names);
    const [table, others] = read('README.md').split('\n`render` takes these, of the following only `--json` and `--quiet`, and `--output DIR`') as [string, string];
    const [ofRender, ofInstall] = [table.slice(table.indexOf('### Flags of install and render')), others.slice(0, others.indexOf('### '))].map((text) => FIELDS.map(flagOf).filter((flag) => new RegExp(`^\\| .*${flag}[ \`]`, 'm').test(text)));
    expect(ofRender).toEqual(FIELDS.map(flagOf).filter((flag) => taken.includes(flag) && !['--json', '--quiet'].includes(flag)));
    expect([...ofRender!, ...ofInstall!].toSorted()).toEqual(FIELDS.map(flagOf).toSorted());
  });

  test('README: every link to one of its chapters finds it', () => {
    const text = read('README.md');
    const anchors = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) => heading!.toLowerCase().replaceAll(/[^a-z0-9 -]/g, '').replaceAll(' ', '-'));
    expect([...text.matchAll(/\]\(#([^)]+)\)/g)].map(([, anchor]) => anchor!).filter((anchor) => !anchors.includes(anchor))).toEqual([]);
  });

  test('docs/json.md: every command has its chapter', () => {
    const pages = readTree();
    const typed = pages.filter(({ words, commands }) => words.length > 0 && commands.length === 0).map(({ words }) => words.join(' '));
    expect(typed.length).toBeGreaterThan(15);
    const headings = [...read('docs/json.md').matchAll(/^## (`.*)$/gm)].map(([, heading]) => heading).join();
    expect(typed.filter((command) => !headings.includes(`\`${command}\``))).toEqual([]);
  });

  test('README: every exit code has its row', () => {
    for (const code of Object.values(ExitCode)) expect(read('README.md')).toContain(`\n| ${code} | `);
  });

  test('docs/json.md: every error code that the program can give is listed', () => {
    const given = sources.flatMap((source) => [
      ...source.matchAll(/(?:failed|refused|notFound|personNeeded|refuse|bad)\(\s*'([a-z0-9-]+)'/g),
      ...source.matchAll(/ExitCode\.\w+, '([a-z0-9-]+)'/g),
      ...source.matchAll(/\{ id: '([a-z0-9-]+)'/g),
    ]).map(([, id]) => id!);
    const listed = read('docs/json.md').slice(read('docs/json.md').indexOf('## Error codes'));
    expect(given.length).toBeGreaterThan(40);
    expect([...new Set(given)].filter((id) => !listed.includes(`\`${id}\``)).toSorted()).toEqual([]);
  });

  test('CHANGELOG: the present version has its chapter', () => {
    const { version } = JSON.parse(read('package.json')) as { version: string };
    expect(read('CHANGELOG.md')).toContain(`\n## ${version}`);
  });
});
