import { expect, test } from '@jest/globals';
import { lastReason } from '../../src/doctor/reason.ts';
import { machineOf, root } from './patients.ts';

const [STARTING, FAILED, RESTART] = ['7d4958e842da4a758f6c1cdc7b36dcc5', 'd9b373ed55a64feb8242e02dbe79a49c', '5eb03494b6584870a536b337290809b3'];

/** Entries a second apart, as journalctl prints them. */
const journal = (...entries: Record<string, string>[]) =>
  entries.map((entry, second) => `${JSON.stringify({ __REALTIME_TIMESTAMP: String((1_000_000 + second) * 1e6), SYSLOG_IDENTIFIER: 'systemd', MESSAGE: '', ...entry })}\n`).join('');
const ssh = (MESSAGE: string, more: Record<string, string> = {}) => ({ SYSLOG_IDENTIFIER: 'ssh', MESSAGE, ...more });

const reason = (ofUnit: string, ofAll = '') => lastReason(machineOf({ says: {
  'journalctl -u revtun-home.service': ofUnit,
  'journalctl SYSLOG_IDENTIFIER=ssh --since @1000001 --until @1000002': ofAll,
} }), 'system', root, 'revtun-home.service');

test('a tunnel that never went down has no reason', async () => {
  expect(await reason(journal({ MESSAGE_ID: STARTING! }))).toBeUndefined();
});

test('what ssh said in the last attempt that ended is the reason', async () => {
  const entries = [{ MESSAGE_ID: STARTING! }, ssh('Connection refused'), { MESSAGE_ID: FAILED! }, { MESSAGE_ID: STARTING! }, ssh('Timeout, server x not responding.'), { MESSAGE_ID: FAILED! }];
  expect(await reason(journal(...entries))).toBe('Timeout, server x not responding.');
  // The attempt that is under way has not failed yet.
  expect(await reason(journal(...entries, { MESSAGE_ID: STARTING! }, ssh('Host is down')))).toBe('Timeout, server x not responding.');
});

test('ssh’s last words count also where journald could not tell whose they were', async () => {
  const silent = journal({ MESSAGE_ID: STARTING! }, {}, { MESSAGE_ID: FAILED! }, {}, {}, { MESSAGE_ID: RESTART! });
  expect(await reason(silent, journal(ssh('Timeout, server x not responding.')))).toBe('Timeout, server x not responding.');
  expect(await reason(silent, journal(ssh('Timeout, server y not responding.', { _SYSTEMD_CGROUP: '/system.slice/revtun-other.service' })))).toBe('the server closed the connection');
  expect(await reason(silent)).toBe('the server closed the connection');
});
