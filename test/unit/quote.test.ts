import { expect, test } from '@jest/globals';
import { execArgument, execLine, plainValue } from '../../src/unit/quote.ts';

// What systemd makes of these is shown in test/integration/systemdReadsBack.test.ts.

test.each([
  ['', '""'],
  ['a b', '"a b"'],
  ['100%', '"100%%"'],
  ['${HOME} $x', '"$${HOME} $$x"'],
  ['say "hi"', String.raw`"say \"hi\""`],
  ["it's", `"it's"`],
  ['a\\', String.raw`"a\\"`],
  ['a\nb\tc\rd', String.raw`"a\nb\tc\x0dd"`],
  ['\u0001\u007f', String.raw`"\x01\x7f"`],
  ['é😀', '"é😀"'],
])('%j is written %s', (text, quoted) => {
  expect(execArgument(text)).toBe(quoted);
});

test.each([
  [['/usr/bin/ssh', '-fNTy', '-R', '127.0.0.1:22:localhost:22', '^a@b,c', 'x=1', 'a+b'], '/usr/bin/ssh -fNTy -R 127.0.0.1:22:localhost:22 ^a@b,c x=1 a+b'],
  [['a', '', 'b c', '[::1]:22', '*:1', '%h', ';', '#'], 'a "" "b c" "[::1]:22" "*:1" "%%h" ";" "#"'],
])('%j is the line %s', (argv, line) => {
  expect(execLine(argv)).toBe(line);
});

test('a plain value knows only specifiers', () => {
  expect(plainValue('100% of $HOME "x" \\')).toBe('100%% of $HOME "x" \\');
});
