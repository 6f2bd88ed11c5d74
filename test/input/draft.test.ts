import { expect, test } from '@jest/globals';
import { fromEnvironment, type Givens, readDraft } from '../../src/input/draft.ts';
import { FIELDS, flagOf } from '../../src/input/fields.ts';
import { forwards } from '../tunnel/example.ts';

const context = { cwd: '/work', home: '/home/ann' };

/** `flags({ '--host': ['a'] })` */
function flags(given: Readonly<Record<string, readonly string[]>>): Givens {
  return new Map(Object.entries(given).map(([from, texts]) => [FIELDS.find((field) => flagOf(field) === from)!, { from, texts }]));
}

const read = (given: Readonly<Record<string, readonly string[]>>, env = {}) => readDraft(context, fromEnvironment(env), flags(given));

test('all problems come in one message, each naming where it came from', () => {
  expect(() => read({ '--host': ['a b'], '--remote-port': ['22abc'], '--keepalive': ['0'] }, { REVTUN_SCOPE: 'both', REVTUN_KEEPALIVE: 'x' })).toThrow(
    expect.objectContaining({
      exitCode: 2,
      message: [
        'REVTUN_SCOPE: "both" is none of system, user',
        '--keepalive: "0" is not a number of seconds from 1 to 3600',
        '--host: "a b" is not a host name or address',
        '--remote-port: "22abc" is not a port: use a number from 0 to 65535',
      ].join('\n'),
    }),
  );
});

test('a repeatable flag gathers, and in a variable blanks separate', () => {
  const both = forwards('-R 1:a:2', '-R 3:b:4');
  expect(read({ '--remote-forward': ['1:a:2', '3:b:4'] })).toEqual({ remoteForward: both });
  expect(read({}, { REVTUN_REMOTE_FORWARD: ' 1:a:2   3:b:4 ' })).toEqual({ remoteForward: both });
});

test('a flag overrules the variable that it excludes', () => {
  expect(read({ '--generate-key': [] }, { REVTUN_KEY: '/k' })).toEqual({ generateKey: true });
  expect(read({ '--key': ['/k'] }, { REVTUN_GENERATE_KEY: '1' })).toEqual({ key: '/k' });
});

test('where the server is set up too, the target may be said without a port, which is chosen there', () => {
  expect(read({ '--server-admin': ['root@tunl'], '--local-port': ['8080'], '--bind': ['*'] })).toEqual({ serverAdmin: { user: 'root', host: 'tunl' }, localPort: 8080, bind: '*' });
  expect(read({ '--server-admin': ['root@tunl'] }, { REVTUN_HOST: 'pi@other' })).toEqual({ serverAdmin: { user: 'root', host: 'tunl' } });
});

test('"none" empties a list', () => {
  expect(read({ '--remote-forward': ['none'], '--jump': ['none'] })).toEqual({ remoteForward: [], jump: [] });
});

test.each<[Record<string, string[]>, string]>([
  [{ '--host': ['a', 'b'] }, '--host: is given more than once'],
  [{ '--remote-forward': ['none', '1:a:2'] }, '--remote-forward: "none" cannot stand beside others'],
  [{ '--key': ['/k'], '--generate-key': [] }, '--key and --generate-key exclude each other'],
  [{ '--known-hosts': ['/k'], '--accept-new-host-key': [] }, '--known-hosts and --accept-new-host-key exclude each other'],
  [{ '--host-key': [`SHA256:${'a'.repeat(43)}`], '--accept-new-host-key': [] }, '--host-key and --accept-new-host-key exclude each other'],
  [{ '--host-key': [`SHA256:${'a'.repeat(43)}`], '--known-hosts': ['/k'] }, '--host-key and --known-hosts exclude each other'],
  [{ '--server-admin': ['root@a'], '--host': ['pi@a'] }, '--server-admin and --host exclude each other'],
  [{ '--server-admin': ['root@a'], '--remote-forward': ['22222:localhost:22'] }, '--server-admin and --remote-forward exclude each other'],
  [{ '--server-admin': ['root@a'], '--host-key': [`SHA256:${'a'.repeat(43)}`] }, '--server-admin and --host-key exclude each other'],
  [{ '--device': ['kiosk'] }, '--device: only together with --server-admin'],
  [{ '--server-admin': ['root@a'], '--device': ['Kiosk 7'] }, '--device: "Kiosk 7" cannot name a device'],
  [{ '--host': ['pi@a'], '--user': ['root'] }, '--host says user pi, but --user says root'],
  [{ '--host': ['a:22'], '--port': ['23'] }, '--host says port 22, but --port says 23'],
  [{ '--bind': ['*'], '--local-port': ['80'] }, '--bind, --local-port: only together with --remote-port'],
  [{ '--host-key': ['MD5:00'] }, '--host-key: "MD5:00" is not a fingerprint'],
  [{ '--key': ['/a b'] }, '--key: "/a b": a service cannot be given a path with blanks'],
  [{ '--key': ['/a\u0000b'] }, '--key: contains a NUL'],
  [{ '--accept-risk': ['everything'] }, '--accept-risk: "everything" is none of public, remote-socks, dynamic-port'],
])('%j: %s', (given, message) => {
  expect(() => read(given)).toThrow(message);
});

test('the same said twice is no contradiction', () => {
  expect(read({ '--host': ['pi@a:22'], '--user': ['pi'], '--port': ['22'] })).toMatchObject({ user: 'pi', port: 22 });
});
