import { hopsOf, legsOf, type Leg, nameOf } from '../checks/journey.ts';
import { routeTo } from '../checks/network.ts';
import { type Observation, sound } from './observation.ts';
import type { Patient } from './patient.ts';

/** The links of the chain that lead to a server's login, in their order, and the findings that belong to each. */
const FINDINGS: Readonly<Record<string, readonly string[]>> = {
  name: ['name-unknown', 'dns-silent'],
  route: ['network-down', 'no-route'],
  tcp: ['server-refused', 'server-silent', 'blocked-here'],
  banner: ['not-ssh', 'server-mute', 'server-closed', 'server-busy', 'banned'],
  'host key': ['host-key-changed', 'host-key-unknown', 'no-common-algorithm', 'packets-lost'],
  login: ['key-refused', 'login-silent', 'login-closed', 'ssh-option', 'ssh-failed'],
  bind: ['made-public', 'made-loopback', 'firewalled'],
};

/** Which link a finding of the way, the login or the forwards belongs to. */
export const linkOf = (finding: string) => Object.entries(FINDINGS).find(([, findings]) => findings.includes(finding))?.[0] ?? 'forward';

const LINKS = Object.keys(FINDINGS);

/**
 * What `ssh -v` saw on its way, link by link and host by host, up to the link that failed.
 * @param failed the link; undefined when it got in
 */
export async function tell({ machine, tunnel }: Patient, said: string, failed: string | undefined): Promise<Observation[]> {
  const legs = legsOf(tunnel, said);
  const isOne = hopsOf(tunnel).length === 1;
  const told: Observation[] = [];
  for (const leg of legs) {
    const isLast = leg === legs.at(-1);
    const before = (link: string) => !isLast || failed === undefined || LINKS.indexOf(link) < LINKS.indexOf(failed) || failed === 'forward';
    const by = leg.by ? `by ${nameOf(leg.by)}` : '';
    const route = leg.address === undefined ? undefined : await routeTo(machine, leg.address);
    const put = (link: string, says: string | undefined) => {
      if (says !== undefined && before(link)) told.push(sound(link, isOne || link === 'name' ? says : `${leg.name}: ${says}`));
    };
    put('name', leg.address === undefined ? undefined : `${leg.name} is ${leg.address}`);
    put('route', leg.address === undefined ? undefined : route);
    put('tcp', leg.software === undefined ? undefined : `port ${leg.hop.port ?? 22} answers${by === '' ? '' : `, reached ${by}`}`);
    put('banner', leg.software);
    put('host key', leg.encrypted ? keyOf(leg) : undefined);
    put('login', leg.authenticated ? `${leg.hop.user ?? tunnel.user} is let in with the key` : undefined);
  }
  return told;
}

const keyOf = ({ hostKey }: Leg) => `${hostKey ?? 'it'} is the pinned one`;
