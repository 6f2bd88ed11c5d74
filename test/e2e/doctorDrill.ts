import { expect } from '@jest/globals';
import type { Host, HostRunOptions } from '../lab/host.ts';
import { diffSnapshots } from '../lab/snapshot.ts';
import { waitFor } from '../lab/waitFor.ts';
import { UNCHANGED, untilReachable, type World } from './world.ts';

/** What `doctor --json` answers, and how. */
export interface Answer {
  readonly code: number;
  readonly stderr: string;
  readonly seconds: number;
  readonly finding: string | null | undefined;
  readonly checks: readonly Seen[];
  /** With --fix: what was done, or would be. */
  readonly steps?: readonly string[];
  readonly changed?: boolean;
  readonly error?: { readonly code: string; readonly message: string; readonly hint: string };
}

interface Seen {
  readonly check: string;
  readonly level: 'ok' | 'unknown' | 'fault';
  readonly says: string;
  readonly finding?: string;
  readonly cure?: string;
}

/** The hosts that a fault can be made on. */
export type Stage = Pick<World<never>, 'device' | 'server' | 'revtun'>;

/** A fault: how it comes about, and what the doctor has to call it. */
export interface Fault<On extends Stage = Stage> {
  readonly name: string;
  readonly finding: string;
  readonly spoil: (on: On) => Promise<unknown>;
  /**
   * Puts back what {@link DoctorDrill.heal} does not: it knows the device's units, accounts and keys and the tunnel's
   * service. Runs also when the fault could only be made in part.
   */
  readonly mend?: (on: On) => Promise<unknown>;
  /** What `doctor --fix` does about it: mends it, or would have to end the connection for that. */
  readonly fix?: 'safe' | 'cuts';
}

export interface DoctorDrill<On extends Stage> {
  /** Runs the doctor; on the tunnel, unless other words are given. */
  doctor(words?: readonly string[], options?: HostRunOptions): Promise<Answer>;
  /** Makes the fault, hears the doctor, takes the fault away. */
  expectFinding(fault: Fault<On>): Promise<Answer>;
  /** The same with a fault that `--fix` mends: it does, not before it may, and finds nothing any more. */
  expectMended(fault: Fault<On>): Promise<void>;
  /** Puts the device back to what it was at the start, and waits until the tunnel is up. */
  heal(): Promise<void>;
}

/** Where a healthy device's files are kept meanwhile: no snapshot looks there. */
const KEPT = '/srv/lab/healthy';

/** Everything that a fault may spoil and that lies on the disk. */
const KEEP = `
set -e
mkdir -p ${KEPT}
cd /
tar -cpf ${KEPT}/files.tar etc/systemd/system etc/revtun etc/passwd etc/group etc/shadow etc/gshadow root/.ssh home/pi/.ssh
systemctl show -p InvocationID --value "$1" > "${KEPT}/$1"`;

/** Bash, because a fault may lie in /bin/sh. A service that nobody touched goes on. */
const RESTORE = `
rm -rf /etc/revtun /root/.ssh /home/pi/.ssh /run/systemd/system.control /etc/systemd/system.control
find /etc/systemd/system /run/systemd/system -depth -path '*/revtun-*' -delete
tar -C / -xpf ${KEPT}/files.tar
systemctl daemon-reload
systemctl reset-failed
if ! systemctl is-active -q "$1" || [ "$(systemctl show -p InvocationID --value "$1")" != "$(cat "${KEPT}/$1")" ]; then
  systemctl stop "$1"
  # Of a start that was refused: the next one would wait for that.
  rm -rf "/run/$(basename "$1" .service)"
  systemctl start --no-block "$1"
fi`;

/** A drill on a device whose tunnel is installed and up: it is put back to just that after each fault. */
export async function startDoctorDrill<On extends Stage>(on: On, { name = 'home', port = 22222 } = {}): Promise<DoctorDrill<On>> {
  const { device, server } = on;
  const unit = `revtun-${name}.service`;
  await device.succeed(['bash', '-c', KEEP, 'bash', unit]);

  const drill: DoctorDrill<On> = {
    doctor: async (words = [name], options) => {
      const begin = performance.now();
      const { code, stdout, stderr } = await on.revtun(['doctor', ...words, '--json'], { timeoutMs: 40_000, ...options });
      const seconds = (performance.now() - begin) / 1000;
      expect(stderr).not.toMatch(/^\s+at .*:\d+:\d+/m);
      return { checks: [], finding: undefined, ...(JSON.parse(stdout) as Partial<Answer>), code, stderr, seconds };
    },
    expectFinding: async ({ finding, spoil, mend }) => {
      try {
        await spoil(on);
        const before = device.snapshot();
        const answer = await drill.doctor();
        expectHeadline(answer, finding);
        expect(diffSnapshots(before, device.snapshot())).toEqual(UNCHANGED);
        return answer;
      } finally {
        await mend?.(on);
        await drill.heal();
      }
    },
    expectMended: async ({ finding, fix, spoil, mend }) => {
      const ask = (...words: string[]) => drill.doctor([name, '--fix', ...words]);
      try {
        await spoil(on);
        const before = device.snapshot();
        const cuts = async () => {
          const [planned, refused] = await Promise.all([ask('--dry-run'), ask('--yes')]);
          expect(planned).toMatchObject({ code: 0, changed: false, finding, steps: expect.arrayContaining([expect.any(String)]) });
          expect(refused).toMatchObject({ code: 2, error: { code: 'risk', hint: expect.stringContaining('--accept-risk=lose-ssh') } });
        };
        const [answer] = await Promise.all([drill.doctor(), fix === 'cuts' && cuts()]);
        expectHeadline(answer, finding);
        expect(diffSnapshots(before, device.snapshot())).toEqual(UNCHANGED);
        const mended = await ask('--yes', ...(fix === 'cuts' ? ['--accept-risk=lose-ssh'] : []));
        // It has looked again by itself.
        expectHealthy(mended);
        expect(mended).toMatchObject({ changed: true, steps: expect.arrayContaining([expect.any(String)]) });
        await untilReachable(server, port);
      } finally {
        await mend?.(on);
        await drill.heal();
      }
    },
    heal: async () => {
      await device.run(['bash', '-c', RESTORE, 'bash', unit]);
      await waitFor(async () => (await device.run(['systemctl', 'is-active', '-q', unit])).code === 0, { what: `${unit} to be up again`, timeoutMs: 30_000 });
      await untilReachable(server, port);
      await script(device, `systemctl show -p InvocationID --value "$1" > "${KEPT}/$1"`, unit);
    },
  };
  return drill;
}

/** One fault, under this id, with its cure; within the time. */
export function expectHeadline(answer: Answer, finding: string): void {
  // Stands on both sides so that a difference is shown with all that the doctor said.
  const said = transcript(answer);
  const faults = answer.checks.filter(({ level }) => level === 'fault');
  expect({ said, code: answer.code, finding: answer.finding, error: answer.error?.code, faults: faults.map((one) => one.finding) })
    .toEqual({ said, code: 1, finding, error: finding, faults: [finding] });
  expect([faults[0]?.says, faults[0]?.cure]).toEqual([expect.stringMatching(/\S/), expect.stringMatching(/\S/)]);
  expect(answer.seconds).toBeLessThan(20);
}

/** Links that a healthy tunnel is seen to have by whoever may use its key. */
const SEEN = ['service', 'login', 'forward', 'far end'];

/** No fault, and everything that matters was seen; to others than its owner, what could not be looked at may be said. */
export function expectHealthy(answer: Answer, asOwner = true): void {
  const said = transcript(answer);
  const isSeen = (link: string) => answer.checks.some(({ check, level }) => check === link && level === 'ok');
  expect({ said, code: answer.code, finding: answer.finding, faults: answer.checks.filter(({ level }) => level === 'fault'), seen: SEEN.filter(isSeen) })
    .toEqual({ said, code: 0, finding: null, faults: [], seen: asOwner ? SEEN : expect.anything() });
  expect(answer.seconds).toBeLessThan(20);
}

const transcript = ({ checks, error, seconds, stderr }: Answer) => [
  ...checks.map(({ check, level, says, finding, cure }) => `${level} ${check}: ${says}${finding === undefined ? '' : ` [${finding}: ${cure}]`}`),
  ...(error ? [`${error.code}: ${error.message} | ${error.hint}`] : []),
  `after ${seconds.toFixed(1)} s; ${stderr}`,
];

/** Runs a shell script on a host; the words are its $1, $2, … */
export const script = (host: Host, text: string, ...words: string[]) => host.succeed(['bash', '-ec', text, 'bash', ...words], { timeoutMs: 60_000 });
