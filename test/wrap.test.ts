import { expect, test } from '@jest/globals';
import { wrap, wrapCommand } from '../src/wrap.ts';

const WORDS = 'one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen';

test.each([
  ['a short line stays', 'one two', '', 'one two'],
  ['a long one is broken between words, and hangs', WORDS, '  ', `  ${WORDS.slice(0, WORDS.indexOf(' fourteen'))}\n      fourteen fifteen sixteen`],
  ['lines that are there stay lines, with their own indent', 'a\n  b', '  ', '  a\n    b'],
  ['a key is left whole', `ssh-ed25519 ${'A'.repeat(68)} comment`, '  ', `  ssh-ed25519 ${'A'.repeat(68)} comment`],
])('%s', (_, text, indent, wrapped) => {
  expect(wrap(text, indent, '      ')).toBe(wrapped);
});

test('a command over several lines keeps flags with their values, and quotes for a shell', () => {
  const argv = ['revtun-setup', 'install', 'home', '--host', 'pi@tunl.example.com', '-R', '*:22222:localhost:22', '--key', '/home/pi/.ssh/id_ed25519', '--yes'];
  expect(wrapCommand(argv, '  ')).toBe(
    "  revtun-setup install home --host pi@tunl.example.com \\\n    -R '*:22222:localhost:22' --key /home/pi/.ssh/id_ed25519 --yes");
});
