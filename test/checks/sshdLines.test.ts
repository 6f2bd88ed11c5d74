import { expect, test } from '@jest/globals';
import { conditionalLines, readLines } from '../../src/checks/sshdLines.ts';
import { matchesPatterns } from '../../src/checks/sshdPatterns.ts';

test.each<[string, readonly string[], boolean]>([
  ['revtun-a', ['revtun-*'], true],
  ['revtun-a', ['*'], true],
  ['revtun-a', ['pi', 'revtun-?'], true],
  ['revtun-a', ['revtun-*@10.0.0.1'], true],
  ['revtun-a', ['!revtun-*', '*'], false],
  ['revtun-a', ['*', '!revtun-a'], false],
  ['revtun-a', ['revtun'], false],
  ['revtun-a', ['revtun.a'], false],
  ['revtun-a', [], false],
])('%s is meant by %j: %j', (name, patterns, meant) => {
  expect(matchesPatterns(name, patterns)).toBe(meant);
});

const MAIN = '/etc/ssh/sshd_config';
const printed = (...lines: readonly string[]) => lines.map((line, at) => `${MAIN}\0${at + 1}:${line}\n`).join('');
const found = (...lines: readonly string[]) =>
  conditionalLines(readLines(printed(...lines, '# Written by revtun-setup', 'Match User revtun-*', '  PermitTTY no')), new Set(['permittty', 'forcecommand']), 'revtun-a', ['revtun-devices'])
    .map(({ number }) => number);

test.each<[string, readonly number[], readonly string[]]>([
  ['of an address', [2, 3], ['Match Address 10.0.0.0/8', 'PermitTTY yes', 'ForceCommand none']],
  ['of an address and everyone', [2], ['Match User * Address 10.0.0.0/8', 'PermitTTY yes']],
  ['of an address and our group', [2], ['Match Address 10.0.0.0/8 Group=revtun-devices', 'PermitTTY yes']],
  ['of an address, after another block', [4], ['Match User pi', 'PermitTTY yes', 'Match LocalPort 22', 'PermitTTY yes']],
  ['of an address and somebody else', [], ['Match User pi Address 10.0.0.0/8', 'PermitTTY yes']],
  ['of an address, with other settings', [], ['Match Address 10.0.0.0/8', 'PermitRootLogin yes']],
  ['of no address, which sshd itself tells of', [], ['Match User *', 'PermitTTY yes']],
  ['for all', [], ['PermitTTY yes']],
])('a block %s before ours has lines %j that may win', (_what, numbers, lines) => {
  expect(found(...lines)).toEqual(numbers);
});

test('a block after ours never wins', () => {
  const lines = readLines(printed('# Written by revtun-setup', 'Match User revtun-*', 'PermitTTY no', 'Match Address 10.0.0.0/8', 'PermitTTY yes'));
  expect(conditionalLines(lines, new Set(['permittty']), 'revtun-a', [])).toEqual([]);
});
