import { hasRelease } from '../lab/requirements.ts';
import type { Release } from '../lab/disk.ts';
import { Calendar } from './recoveryCalendar.ts';
import { autossh, type Contestant, oursOnStockServer, oursWithServerEnd, plainUnit, sidedoor } from './recoveryContestants.ts';
import { type FaultName, FAULTS } from './recoveryFaults.ts';
import { type BenchTunnel, makePair, type Pair, TRAFFICS, untilUp } from './recoveryPair.ts';
import type { PairResult, RecoveryResult } from './recoveryReport.ts';
import { dropsOf, measureRevoked, type Revoked } from './recoveryRevoked.ts';
import { type Limits, measureFault, type Recoveries } from './recoveryRounds.ts';

export interface RecoveryOptions {
  /** Leaves out what takes minutes: the long hole, the revoked key, the wait for what does not come back. */
  readonly quick: boolean;
  /** Seconds after which what has not come back is given up; 300 where nothing is said. */
  readonly giveUp?: number;
  /** Limits the run to pairs whose title contains one of these. */
  readonly only: readonly string[];
}

/** What one pair of hosts is for. */
interface Plan {
  readonly group: keyof Omit<RecoveryResult, 'givenUpAfter'>;
  readonly title: string;
  readonly contestant: Contestant;
  readonly device: Release;
  readonly server: Release;
  readonly faults: readonly FaultName[];
  readonly rounds: number;
  readonly revoked: boolean;
}

const EVERY = Object.keys(FAULTS) as FaultName[];
const ON_OTHERS = ['sessionKilled', 'powerCut', 'shortHole'] as const satisfies readonly FaultName[];
const RELEASES: Readonly<Record<Release, string>> = { bullseye: '8.4', host: '9.2', trixie: '10.0' };

const contestant = (of: Contestant, rounds: number): Plan =>
  ({ group: 'contestants', title: of.title, contestant: of, device: 'host', server: 'host', faults: EVERY, rounds, revoked: false });
const versions = (device: Release, server: Release): Plan =>
  ({ group: 'versions', title: `${RELEASES[device]} → ${RELEASES[server]}`, contestant: oursWithServerEnd, device, server, faults: ON_OTHERS, rounds: 5, revoked: true });
const revokedOnly = (of: Contestant): Plan =>
  ({ group: 'others', title: `${of.title} → 10.0`, contestant: of, device: 'host', server: 'trixie', faults: [], rounds: 0, revoked: true });

/** The slow ones first: whoever does not come back is waited for. */
const PLANS: readonly Plan[] = [
  contestant(oursWithServerEnd, 8), contestant(oursOnStockServer, 2), contestant(autossh, 2), contestant(plainUnit, 2), contestant(sidedoor, 2),
  versions('host', 'bullseye'), versions('host', 'trixie'), versions('bullseye', 'trixie'), versions('trixie', 'host'),
  revokedOnly(autossh), revokedOnly(plainUnit), revokedOnly(sidedoor),
];

const LIMITS = { whole: { givenUpAfter: 300, revokedSeconds: 600 }, quick: { givenUpAfter: 40, revokedSeconds: 0 } } as const;

/** How long a tunnel is away after each of many faults: ours, and what else people keep theirs up with. */
export async function measureRecovery({ quick, only, giveUp }: RecoveryOptions): Promise<RecoveryResult> {
  const { givenUpAfter: usual, revokedSeconds } = LIMITS[quick ? 'quick' : 'whole'];
  const givenUpAfter = giveUp ?? usual;
  const wanted = PLANS.filter((plan) => (only.length === 0 || only.some((word) => plan.title.includes(word))) && (!quick || plan.faults.length > 0));
  const lacking = new Set(wanted.flatMap(({ device, server }) => [device, server]).filter((release) => !hasRelease(release)));
  if (lacking.size > 0) throw new Error(`no tree of ${[...lacking].join(', ')} to boot: npm run lab:trees makes them`);
  // All are there before anything is measured, and come one after the other: a boot takes what a recovery needs.
  const scenes: Scene[] = [];
  const unready: { group: Plan['group']; result: PairResult }[] = [];
  for (const plan of wanted) {
    try {
      scenes.push(await setUp(plan));
    } catch (error) {
      unready.push({ group: plan.group, result: { title: plan.title, faults: {}, brokeOff: told(plan, error) } });
    }
  }
  const calendar = new Calendar();
  const done = await Promise.all(scenes.map(async (scene) => {
    const { plan } = scene;
    const limits: Limits = { givenUpAfter, rounds: quick ? Math.min(2, plan.rounds) : plan.rounds };
    const result = await measureScene(scene, calendar, limits, revokedSeconds);
    await scene.pair.lab.dispose();
    return { group: plan.group, result };
  }));
  const inGroup = (group: Plan['group']) => [...done, ...unready].filter((one) => one.group === group).map(({ result }) => result);
  return { givenUpAfter, contestants: inGroup('contestants'), versions: inGroup('versions'), others: inGroup('others') };
}

/** What goes wrong with one pair does not cost what the others take half an hour to find out. */
function told({ title }: Plan, error: unknown): string {
  console.error(`  ${title}:`, error);
  return (error as Error).message.split('\n')[0]!;
}

/** A pair whose tunnels are up. */
interface Scene {
  readonly plan: Plan;
  readonly pair: Pair;
  readonly tunnels: readonly BenchTunnel[];
}

async function setUp(plan: Plan): Promise<Scene> {
  const pair = await makePair({ device: plan.device, server: plan.server });
  const tunnels = await plan.contestant.install(pair);
  await pair.agent.call('trickle', tunnels.find(({ traffic }) => traffic === 'busy')!.port);
  for (const tunnel of tunnels) await untilUp(pair, tunnel, 60_000);
  return { plan, pair, tunnels };
}

async function measureScene({ plan, pair, tunnels }: Scene, calendar: Calendar, limits: Limits, revokedSeconds: number): Promise<PairResult> {
  const tell = (text: string) => console.error(`  ${plan.title}: ${text}`);
  const faults: Partial<Record<FaultName, Recoveries>> = {};
  let revoked: Revoked | undefined;
  let drops: number | undefined;
  let brokeOff: string | undefined;
  try {
    await measureAll();
  } catch (error) {
    brokeOff = told(plan, error);
  }
  return {
    title: plan.title,
    faults,
    ...(revoked && { revoked }),
    ...(drops !== undefined && { drops }),
    ...(brokeOff !== undefined && { brokeOff }),
  };

  async function measureAll(): Promise<void> {
    for (const name of plan.faults) {
      if (limits.givenUpAfter * 1000 < FAULTS[name].lastsMs) continue;
      const found = await measureFault(pair, plan.contestant, tunnels, name, calendar, limits);
      faults[name] = found;
      tell(`${FAULTS[name].what}: ${TRAFFICS.map((traffic) => `${traffic} ${found[traffic].map((value) => value?.toFixed(2) ?? 'never').join(' ')}`).join('; ')}`);
    }
    if (plan.revoked && revokedSeconds > 0) {
      revoked = await measureRevoked(pair, plan.contestant, tunnels, revokedSeconds);
      tell(`revoked key: ${JSON.stringify(revoked)}`);
    }
    if (plan.server === 'trixie') drops = await dropsOf(pair);
  }
}
