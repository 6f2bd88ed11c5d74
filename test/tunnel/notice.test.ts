import { expect, test } from '@jest/globals';
import { parseNotice, wantsNotices } from '../../src/tunnel/notice.ts';

test.each([
  ['/usr/bin/logger down', ['/usr/bin/logger', 'down']],
  [`/usr/local/bin/tell "it's" '100 %' $' '`.replace("$' '", "' '"), ['/usr/local/bin/tell', "it's", '100 %', ' ']],
])('%s is run as %j', (text, words) => {
  expect(parseNotice(text)).toEqual(words);
});

test.each([
  ['', 'names no program'],
  ['   ', 'names no program'],
  [`'' a`, 'names no program'],
  ['logger a | mail root', 'put it into a script'],
  ['logger $REVTUN_REASON', 'put it into a script'],
  [`logger 'a\nb'`, 'control characters'],
  ['logger \u2028', 'line breaks'],
  ['logger \uFFFD', 'UTF-8'],
  [`logger ${'x'.repeat(4000)}`, '4000 bytes'],
])('%j cannot be run without a shell', (text, why) => {
  expect(() => parseNotice(text)).toThrow(expect.objectContaining({ name: 'InvalidValue', message: expect.stringContaining(why) }));
});

test.each([[[], [], false], [['a'], [], true], [[], ['a'], true]])('down: %j, up: %j means that somebody is told: %s', (onDown, onUp, wanted) => {
  expect(wantsNotices({ onDown, onUp })).toBe(wanted);
});
