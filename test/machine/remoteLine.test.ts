import { describe, expect, test } from '@jest/globals';
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { inputBefore, markedLine, plainLine, plainLineWithInput, readMarks } from '../../src/machine/remoteLine.ts';

const isThere = (shell: string) => spawnSync(shell, ['-c', 'exit 0']).error === undefined;

/** What a login may have for a shell, as far as this machine has it; sh, dash and bash are on every Debian. */
const shells = ['sh', 'dash', 'bash', ...['zsh', 'fish', 'tcsh', 'bsd-csh', 'mksh'].filter(isThere)];

/** Whatever an argument can hold: no NUL, and no half of a character. */
const word = fc.oneof(
  fc.string({ unit: 'binary', maxLength: 40 }),
  fc.array(fc.constantFrom("'", '"', '\\', '!', '$', '`', '\n', ' ', '-', '%', '*', '~', '#', 'a', '0', '1', '7', '\u0001', '\u007F', '\u0081', 'é'), { maxLength: 12 }).map((parts) => parts.join('')),
  fc.constantFrom('', '-', '--', '-n', '-e', '\n', '\\c', '\\0', '!!', '!$', '%b', 'x\n\n'),
).map((text) => Buffer.from(text.replaceAll('\0', '')).toString());

/** Prints its words, a variable and its input, with what none of them holds in between. */
const program = (words: readonly string[]) => ['sh', '-c', String.raw`printf '%s\0' "$@" "$REVTUN_TEST"; exec cat`, 'sh', ...words];
const printed = (words: readonly string[], setting: string, input: string) => [...words, setting, input].join('\0');
const fresh = () => `revtun-${randomBytes(4).toString('hex')}`;

describe.each(shells)('a login whose shell is %s', (shell) => {
  const give = (line: string, input: string) => {
    const { stdout, stderr, status } = spawnSync(shell, ['-c', line], { input, encoding: 'utf8' });
    return { stdout, stderr, code: status };
  };

  test('gives a program the very words, variable and input', () => {
    fc.assert(fc.property(fc.array(word, { maxLength: 6 }), word, word, fc.boolean(), (words, setting, input, asked) => {
      const token = fresh();
      const { stdout, stderr } = give(markedLine([], token, program(words), { env: { REVTUN_TEST: setting } }), `${inputBefore(token, asked ? 'pass word\\' : undefined)}${input}`);
      const said = readMarks(token, stdout, stderr);
      expect([said.code, said.stderr, said.stdout]).toEqual([0, '', printed(words, setting, input)]);
    }), { numRuns: 25 });
  }, 60_000);

  test('does so without marks, too', () => {
    fc.assert(fc.property(fc.array(word, { maxLength: 6 }), word, (words, input) => {
      const token = fresh();
      expect(give(plainLine([], program(words)), input).stdout).toBe(printed(words, '', input));
      expect(give(plainLineWithInput([], token, program(words)), `${inputBefore(token, 'secret')}${input}`).stdout).toBe(printed(words, '', input));
    }), { numRuns: 15 });
  }, 60_000);

  test('takes a long word', () => {
    expect(give(plainLine([], program(['x'.repeat(3000)])), '').stdout).toBe(printed(['x'.repeat(3000)], '', ''));
  });
});

test('no line holds what shells read differently', () => {
  fc.assert(fc.property(fc.array(word), (words) => {
    expect(markedLine(['sudo', '-p', ''], fresh(), words)).toMatch(/^(?:[^'\\!\n]|'(?:[^'\\!\n]|\\(?=0))*')*$/);
  }));
});

test('a NUL is refused', () => {
  expect(() => plainLine([], ['echo', 'a\0b'])).toThrow('NUL');
});

describe('marks', () => {
  test('divide a program\'s words from what was said around them', () => {
    expect(readMarks('T', 'welcome T 42\nout', 'lecture\nT 42\nerrT end 3\nlater')).toEqual({ group: 42, code: 3, stdout: 'out', stderr: 'err' });
  });

  test('tell a program that did not end, and one that did not begin', () => {
    expect(readMarks('T', 'T 42\nhalf', 'T 42\nsome')).toEqual({ group: 42, stdout: 'half', stderr: 'some' });
    expect(readMarks('T', 'noise', 'sudo: no')).toEqual({ stdout: 'noise', stderr: 'sudo: no' });
  });
});
