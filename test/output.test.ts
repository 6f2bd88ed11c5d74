import { PassThrough } from 'node:stream';
import { expect, test } from '@jest/globals';
import { makeOutput } from '../src/output.ts';

function told(tell: (output: ReturnType<typeof makeOutput>) => void): string {
  const [out, err] = [new PassThrough(), new PassThrough()];
  tell(makeOutput(false, false, out as unknown as NodeJS.WriteStream, err as unknown as NodeJS.WriteStream));
  return `${String(out.read() ?? '')}${String(err.read() ?? '')}`;
}

test.each<[string, (output: ReturnType<typeof makeOutput>) => void]>([
  ['progress', (output) => output.progress('a\u001B]0;owned\u0007b\u202Ec\r\td\u{1F642}')],
  ['a mark', (output) => output.mark('done', 'a\u001B]0;owned\u0007b\u202Ec\r\td\u{1F642}')],
  ['a notice', (output) => output.notice('a\u001B]0;owned\u0007b\u202Ec\r\td\u{1F642}')],
])('%s cannot steer the terminal with what another machine said', (_what, tell) => {
  expect(told(tell)).toMatch(/^(\S+ )?a\uFFFD\]0;owned\uFFFDb\uFFFDc\uFFFD\td\u{1F642}\n$/u);
});

test('what ssh says is told without the carriage returns that its lines end in', () => {
  expect(told((output) => output.notice('Warning: one\r\nWarning: two\r\n'))).toBe('Warning: one\nWarning: two\n');
});

test('a file is printed as it is', () => {
  expect(told((output) => output.result('a\u202Eb\n'))).toBe('a\u202Eb\n');
});
