import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { beforeAll, expect, test } from '@jest/globals';
import { CATALOGUE } from '../../src/doctor/catalogue.ts';
import { HERE } from '../../src/doctor/explainedHere.ts';
import { THERE } from '../../src/doctor/explainedThere.ts';
import { wrap } from '../../src/wrap.ts';

/** docs/findings.md is made of the catalogue; REVTUN_TEST_GOLDEN=write writes it anew, to be read in the diff. */
const file = new URL('../../docs/findings.md', import.meta.url);

const chapter = (title: string, findings: typeof CATALOGUE) => [
  `## ${title}`,
  ...Object.entries(findings).map(([id, { symptom, cause, cure }]) =>
    [`### ${id}`, ...[['Symptom', symptom], ['Cause', cause], ['Cure', cure]].map(([what, text]) => wrap(`- **${what}**: ${text}`, '', '  ', 120))].join('\n')),
].join('\n\n');

const page = () => `# What doctor can find

Each finding has an id that does not change. \`revtun-setup doctor --explain ID\` prints the same; \`doctor --json\` gives the id as
\`finding\`. They stand in the order in which doctor looks: the first one that it finds is the cause, and what only follows from
it is not told. What it marks with \`?\` could not be looked at, and is no finding.

${chapter('This machine', HERE)}

${chapter('The way to the server, the server, and what comes back', THERE)}
`;

if (process.env['REVTUN_TEST_GOLDEN'] === 'write') {
  beforeAll(() => writeFileSync(file, page()));
}

test('docs/findings.md tells what the program tells', () => {
  expect(readFileSync(file, 'utf8')).toBe(page());
});

test('every fault that the doctor can find is explained', () => {
  const folder = new URL('../../src/doctor/', import.meta.url);
  const sources = readdirSync(folder).map((name) => readFileSync(new URL(name, folder), 'utf8'));
  const found = sources.flatMap((source) => [...source.matchAll(/\bfault\(\s*'[a-z ]+',\s*'([a-z-]+)'/g)].map(([, id]) => id!));
  expect(found.length).toBeGreaterThan(20);
  expect([...new Set(found)].filter((id) => !(id in CATALOGUE))).toEqual([]);
});

test('every explanation has its three parts, and ends in a sentence or a command', () => {
  expect(Object.keys(CATALOGUE).length).toBe(Object.keys(HERE).length + Object.keys(THERE).length);
  for (const [id, parts] of Object.entries(CATALOGUE)) {
    for (const text of [parts.symptom, parts.cause, parts.cure]) expect([id, text]).toEqual([id, expect.stringMatching(/^\S.{10,}\S$/s)]);
    expect(id).toMatch(/^[a-z]+(-[a-z]+)*$/);
  }
});
