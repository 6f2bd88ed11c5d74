import { describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import fc from 'fast-check';
import { InvalidValue } from '../src/errors.ts';
import { commandLine, splitCommandLine } from '../src/shell.ts';

const byShell = (line: string) => execFileSync('sh', ['-c', `set -- ${line}; printf '%s\\0' "$@"`], { encoding: 'utf8', cwd: '/proc/1' }).split('\0').slice(0, -1);

describe('the words of a command line', () => {
  test.each<[string, string[]]>([
    ['', []],
    ['  ', []],
    ['a', ['a']],
    ['  a  b\tc ', ['a', 'b', 'c']],
    [`'a b' "c d" e\\ f`, ['a b', 'c d', 'e f']],
    [`a'b'"c"\\d`, ['abcd']],
    [`'' ""`, ['', '']],
    [`"a\\"b\\\\c\\$d\\\`e\\f"`, ['a"b\\c$d`e\\f']],
    [`'$HOME' '*' ';'`, ['$HOME', '*', ';']],
    [`it\\'s`, ["it's"]],
    ['a#b a~b {a} [a] ?a =%@!', ['a#b', 'a~b', '{a}', '[a]', '?a', '=%@!']],
    ['https://example.com/ping?a=b', ['https://example.com/ping?a=b']],
  ])('%j are %j, as for a shell', (line, words) => {
    expect(splitCommandLine(line)).toEqual(words);
    if (words.length > 0) expect(byShell(line)).toEqual(words);
  });

  test.each(['a | b', 'a; b', 'a && b', 'a > b', 'a < b', '(a)', '$HOME', '"$HOME"', '${X}', 'a$(b)', '`a`', '"`a`"', '*.log', '~/a', 'a ~b', '# a', 'a #b'])('%j is something for a shell', (line) => {
    expect(() => splitCommandLine(line)).toThrow(expect.objectContaining({ name: 'InvalidValue', message: expect.stringContaining('put it into a script') }));
  });

  test.each([`'a`, `"a`, `"a\\"`, `a'`])('%j is not closed', (line) => {
    expect(() => splitCommandLine(line)).toThrow(expect.objectContaining({ message: expect.stringContaining('not closed') }));
  });

  test.each(['\\', 'a\\'])('%j ends in the middle', (line) => {
    expect(() => splitCommandLine(line)).toThrow(InvalidValue);
  });

  test('come back from any line that was made of them', () => {
    const word = fc.string({ unit: fc.oneof(fc.constantFrom(...'\'"\\$`!*?[]{}()<>|&;#~ \t\n%=-'), fc.string({ minLength: 1, maxLength: 1 })) });
    fc.assert(fc.property(fc.array(word, { maxLength: 20 }), (words) => {
      expect(splitCommandLine(commandLine(words))).toEqual(words);
    }), { numRuns: 1000 });
  });

  test('are those of a real shell, or there are none', () => {
    const text = fc.string({ unit: fc.constantFrom(...'\'"\\$`*|&;<>()#~ \tab='), maxLength: 12 });
    fc.assert(fc.property(text, (line) => {
      let words: string[];
      try {
        words = splitCommandLine(line);
      } catch (error) {
        expect(error).toBeInstanceOf(InvalidValue);
        return;
      }
      if (words.length > 0) expect(byShell(line)).toEqual(words);
    }), { numRuns: 300 });
  });
});
