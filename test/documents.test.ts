import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, test } from '@jest/globals';
import { ExitCode } from '../src/errors.ts';
import { FIELDS } from '../src/input/fields.ts';

const root = new URL('../', import.meta.url);
const read = (path: string) => readFileSync(new URL(path, root), 'utf8');
const sources = readdirSync(new URL('src/', root), { recursive: true }).map(String).filter((path) => path.endsWith('.ts')).map((path) => read(`src/${path}`));

describe('the documents', () => {
  test.each(FIELDS.map(({ flags, help }) => [flags, help]))('README: %s is in the table of flags, in the words of the help', (flags, help) => {
    const cell = (text: string) => text.replaceAll('|', String.raw`\|`);
    expect(read('README.md')).toContain(`| \`${cell(flags)}\` | ${cell(help)} |`);
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
