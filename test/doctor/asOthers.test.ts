import { describe, expect, test } from '@jest/globals';
import { filesPart } from '../../src/doctor/filesPart.ts';
import { localPortsPart } from '../../src/doctor/localPortsPart.ts';
import type { DialResult } from '../../src/machine/machine.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { ann, headline, patientOf, seen, shows } from './patients.ts';

describe('whether the service may read its files', () => {
  test.each([
    ['the service may not', { code: 1 }, 'config-altered'],
    ['setpriv is one that cannot tell', { code: 1, stderr: 'setpriv: unrecognized option: reuid=revtun\n' }, 'ok'],
    ['there is no setpriv', { code: 127, stderr: 'not found' }, 'ok'],
  ])('%s', async (_what, setpriv, expected) => {
    expect(await headline(filesPart, patientOf({ says: { setpriv } }))).toBe(expected);
  });
});

describe('a socket that -L is to listen on, and that is there', () => {
  const SOCKET = '/srv/run/web.sock';
  const tunnel = exampleTunnel({ forwards: forwards('-R 22222:localhost:22', `-L ${SOCKET}:intra.test:80`, '-L 8080:intra.test:80') });
  const look = async (ofSocket: DialResult['outcome'], ofPort: DialResult['outcome'] = 'refused') => {
    const files = { '/srv/run': { kind: 'directory' as const }, [SOCKET]: { kind: 'socket' as const } };
    const patient = patientOf({ files, says: { 'systemctl show': shows({ ActiveState: 'activating' }) } }, { tunnel, who: ann });
    const result = (outcome: DialResult['outcome']): DialResult => (outcome === 'connected' ? { outcome, banner: '' } : { outcome, reason: outcome });
    return seen(localPortsPart, { ...patient, machine: { ...patient.machine, dial: async (target) => result('path' in target ? ofSocket : ofPort) } });
  };

  test.each([
    ['that nobody listens at', 'refused', { level: 'ok' }, true],
    ['that somebody listens at', 'connected', { finding: 'port-in-use-here', says: expect.stringContaining(SOCKET) }, false],
    ['that is not for the eyes of whoever asks', 'forbidden', { level: 'unknown', says: expect.stringContaining('sudo') }, true],
  ] as const)('%s', async (_what, outcome, expected, goesOn) => {
    expect(await look(outcome)).toMatchObject({ observations: [expected], goesOn });
  });

  test('does not hide a port that is taken', async () => {
    expect(await look('forbidden', 'connected')).toMatchObject({ observations: [{ finding: 'port-in-use-here', says: expect.stringContaining('8080') }], goesOn: false });
  });
});
