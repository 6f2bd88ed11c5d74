import { describe, expect, test } from '@jest/globals';
import { requireDecided } from '../../src/commands/install/tryout.ts';
import { placesOf } from '../../src/unit/places.ts';
import { tryoutPlaces } from '../../src/unit/tryout.ts';
import { makeMemoryMachine, type Node } from '../plan/memoryMachine.ts';

const places = placesOf('system', 'home', '/root');
const at = tryoutPlaces('home', places);
const who = { uid: 0, sudoUser: 'pi' } as Parameters<typeof requireDecided>[0]['who'];
const file = (path: string, content = ''): [string, Node] => [path, { kind: 'file', content, mode: 0o644 }];
const directory: [string, Node] = [at.directory, { kind: 'directory', mode: 0o755 }];
const until = file(at.until, '2026-01-31T12:00:00.000Z\n');

const decided = (...nodes: [string, Node][]) => requireDecided({ machine: makeMemoryMachine(new Map(nodes)), who }, { name: 'home', scope: 'system', places });

describe('an earlier change of the tunnel', () => {
  test('that waits to be confirmed is in the way, with the command for that', async () => {
    await expect(decided(directory, file(at.armed), file(at.restorerFile), file(at.complete), until)).rejects.toMatchObject({
      id: 'on-trial', message: 'An earlier change of home waits to be confirmed.',
      hint: 'Confirm it: sudo revtun-setup confirm home\nor wait: the former tunnel comes back by itself at 2026-01-31T12:00:00.000Z.',
    });
  });

  test('that was cut off cannot be confirmed, and only time helps', async () => {
    await expect(decided(directory, file(at.armed), file(at.restorerFile), until)).rejects.toMatchObject({
      id: 'on-trial', message: 'An earlier change of home was cut off before its end.',
      hint: 'Wait: the former tunnel comes back by itself at 2026-01-31T12:00:00.000Z.',
    });
  });

  test('that is decided is in nobody\'s way', async () => {
    expect([await decided(), await decided(directory)]).toEqual([undefined, 'left-over']);
  });
});
