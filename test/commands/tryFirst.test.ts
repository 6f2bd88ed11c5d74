import { expect, test } from '@jest/globals';
import type { Workbench } from '../../src/checks/workbench.ts';
import type { Job } from '../../src/commands/install/job.ts';
import { tryFirst } from '../../src/commands/install/trial.ts';
import type { RunResult } from '../../src/machine/machine.ts';
import { placesOf } from '../../src/unit/places.ts';
import { machineOf, root } from '../doctor/patients.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const tunnel = exampleTunnel();
const places = placesOf('system', 'home', '/root');
const existing = { name: 'home', scope: 'system', places, tunnel, lingering: false } as const;

/** A server that refuses the port, as somebody has it; a login that asks for none is let in. */
function serverThatRefuses(asked: number[], words: string): Workbench {
  const answer = (said: Partial<RunResult>): RunResult => ({ code: 255, stdout: '', stderr: '', timedOut: false, stopped: false, ...said });
  return {
    machine: machineOf({}), directory: '/b', config: '/b/c', knownHosts: '/b/k', limit: 100,
    pin: async () => undefined,
    ssh: async (_tunnel, flags, forwards) => {
      if (flags.includes('-W')) return answer({});
      asked.push(forwards.length);
      return forwards.length > 0 ? answer({ stderr: `${words}\n` }) : answer({ stopped: true });
    },
  };
}

const TAKEN = 'Authenticated to x\nWarning: remote port forwarding failed for listen port 22222';

function tried(before: string, now: string, installed: Job['existing'], words = TAKEN): { asked: number[]; ended: Promise<void> } {
  const asked: number[] = [];
  const machine = { ...machineOf({ says: { 'systemctl show': `ActiveState=${now}\nSubState=auto-restart\n` } }), dial: async () => ({ outcome: 'refused', reason: 'x' }) as const };
  const job = {
    machine, who: root, tunnel, places, existing: installed, draft: {}, prepared: {}, bench: serverThatRefuses(asked, words),
    key: { path: '/k', publicKey: 'ssh-ed25519 AAAA' }, present: { files: new Map(), service: { activeState: before } },
  } as unknown as Job;
  return { asked, ended: tryFirst(job, []) };
}

/** ssh -v of a session that the service's own release has ended. */
const ENDED = `debug1: Connecting to x [192.0.2.1] port 22.
debug1: Remote protocol version 2.0, remote software version OpenSSH_9.2p1
debug1: Server host key: ssh-ed25519 SHA256:abc
debug1: SSH2_MSG_NEWKEYS received
debug1: Server accepts key: /k ED25519 SHA256:def
Authenticated to x ([192.0.2.1]:22) using "publickey".
Connection to x closed by remote host.`;

test.each([['a port that it took', TAKEN], ['a session that it ended', ENDED]])('what the service brought about while it came up is no refusal: %s', async (_, words) => {
  const { asked, ended } = tried('activating', 'active', existing, words);
  await expect(ended).resolves.toBeUndefined();
  expect(asked).toEqual([1, 0]);
});

test.each([['activating', 'activating', existing], ['inactive', 'active', undefined]] as const)('%s, then %s: a port that somebody else has is taken', async (before, now, installed) => {
  await expect(tried(before, now, installed).ended).rejects.toMatchObject({ id: 'port-taken' });
});

test('what a service that is up holds is not asked for', async () => {
  const { asked, ended } = tried('active', 'active', existing);
  await expect(ended).resolves.toBeUndefined();
  expect(asked).toEqual([0]);
});
