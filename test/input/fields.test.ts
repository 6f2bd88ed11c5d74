import { describe, expect, test } from '@jest/globals';
import { fromEnvironment, readDraft } from '../../src/input/draft.ts';
import { type Draft, type Field, fieldOf, FIELDS, flagOf, isSwitch, variableOf } from '../../src/input/fields.ts';
import { forwards } from '../tunnel/example.ts';

const context = { cwd: '/work', home: '/home/ann' };
const fingerprint = `SHA256:${'a'.repeat(43)}`;

/** By field: a text, and what it comes to. */
const MEANT: Readonly<Record<keyof Draft, readonly [string, unknown]>> = {
  host: ['pi@[2001:db8::1]:2222', { user: 'pi', host: '2001:db8::1', port: 2222 }],
  user: ['pi', 'pi'],
  port: ['2222', 2222],
  jump: ['a,b@c:1', [{ host: 'a' }, { user: 'b', host: 'c', port: 1 }]],
  key: ['~/.ssh/id', '/home/ann/.ssh/id'],
  generateKey: ['1', true],
  serverAdmin: ['root@tunl:2222', { user: 'root', host: 'tunl', port: 2222 }],
  device: ['kiosk-7', 'kiosk-7'],
  remotePort: ['22222', 22222],
  bind: ['[::1]', '::1'],
  localHost: ['10.0.0.1', '10.0.0.1'],
  localPort: ['80', 80],
  remoteForward: ['1:a:2', forwards('-R 1:a:2')],
  localForward: ['1:a:2', forwards('-L 1:a:2')],
  dynamicForward: ['1', forwards('-D 1')],
  hostKey: [fingerprint, [fingerprint]],
  knownHosts: ['known', '/work/known'],
  acceptNewHostKey: ['yes', true],
  acceptRisk: ['public', ['public']],
  name: ['home', 'home'],
  scope: ['user', 'user'],
  keepalive: ['30', 30],
  cipher: ['aes128-ctr', 'aes128-ctr'],
  noRelease: ['1', true],
  onDown: [`bin/tell 'it is' down`, ['/work/bin/tell', 'it is', 'down']],
  onUp: ['logger up', ['logger', 'up']],
  wizard: ['1', true],
  yes: ['1', true],
  dryRun: ['1', true],
  json: ['1', true],
  quiet: ['1', true],
  noVerify: ['1', true],
  noStart: ['1', true],
  confirmWithin: ['90', 90],
};

const only = (field: Field, text: string) => new Map([[field, { from: flagOf(field), texts: isSwitch(field) ? [] : [text] }]]);

/** What stands in the way of a value on its own. */
const needs = (key: keyof Draft) => (['bind', 'localHost', 'localPort'].includes(key) ? { [variableOf(fieldOf('remotePort'))]: '1' }
  : key === 'device' ? { [variableOf(fieldOf('serverAdmin'))]: 'root@tunl' } : {});

test('every field is in this table, under one flag and one variable of its own', () => {
  expect(FIELDS.map(({ key }) => key).toSorted()).toEqual(Object.keys(MEANT).toSorted());
  expect(new Set(FIELDS.map(flagOf)).size).toBe(FIELDS.length);
  expect(new Set(FIELDS.map(variableOf)).size).toBe(FIELDS.length);
});

describe.each(FIELDS.map((field) => [flagOf(field), field] as const))('%s', (flag, field) => {
  const [text, meant] = MEANT[field.key];

  test('means what its variable means', () => {
    const env = { ...needs(field.key), [variableOf(field)]: text };
    expect(readDraft(context, fromEnvironment(env), new Map())[field.key]).toEqual(meant);
    expect(readDraft(context, fromEnvironment(needs(field.key)), only(field, text))[field.key]).toEqual(meant);
  });

  test('wins over its variable', () => {
    const env = { ...needs(field.key), [variableOf(field)]: isSwitch(field) ? '1' : '\u0001 nonsense' };
    expect(readDraft(context, fromEnvironment(env), only(field, text))[field.key]).toEqual(meant);
  });

  test('is absent where nothing is said', () => {
    expect(readDraft(context, fromEnvironment({ [variableOf(field)]: ' ' }), new Map())).toEqual({});
  });

  if (isSwitch(field)) {
    test.each(['0', 'no', 'False'])('is not meant by a variable that says %s', (no) => {
      expect(readDraft(context, fromEnvironment({ [variableOf(field)]: no }), new Map())).toEqual({});
    });
  } else {
    test('refuses nonsense, naming the flag or the variable it came from', () => {
      const message = (from: string) => expect.objectContaining({ exitCode: 2, message: expect.stringContaining(`${from}: `) });
      expect(() => readDraft(context, fromEnvironment(needs(field.key)), only(field, 'a\nb\u0000'))).toThrow(message(flag));
      expect(() => readDraft(context, fromEnvironment({ ...needs(field.key), [variableOf(field)]: '\u0001' }), new Map())).toThrow(message(variableOf(field)));
    });

    test('does not swallow the flag behind it', () => {
      expect(() => readDraft(context, new Map(), only(field, '--yes'))).toThrow(`${flag}: needs a value, but is followed by --yes`);
    });
  }
});
