import { hopsOf } from '../checks/journey.ts';
import type { ExpectedError } from '../errors.ts';
import { formatDestination } from '../tunnel/destination.ts';
import { change } from './cures.ts';
import { cureFor } from './curesThere.ts';
import { fault, type Observation } from './observation.ts';
import type { Patient } from './patient.ts';
import { linkOf } from './story.ts';

/**
 * The finding about one of the hosts on the way, with a cure that changes that very host.
 * @param index of the host in {@link hopsOf}; the last is the server
 */
export function troubleAt(patient: Patient, index: number, error: ExpectedError): Observation {
  const { tunnel } = patient;
  const check = linkOf(error.id);
  const hop = hopsOf(tunnel)[index]!;
  const wanted = INSTEAD[error.id]?.(hop);
  if (wanted === undefined || index >= tunnel.jump.length) return cureFor(patient, check, error);
  const chain = tunnel.jump.map((one, at) => (at === index ? wanted : formatDestination(one))).join(',');
  return fault(check, error.id, error.message, `${error.hint}\nTo change the tunnel:\n${change(patient, '--jump', chain)}`);
}

type Hop = ReturnType<typeof hopsOf>[number];
const withHost = (host: string) => (hop: Hop) => formatDestination({ ...hop, host });
const withPort = ({ port: _former, ...hop }: Hop) => `${formatDestination(hop)}:PORT`;

/** What stands in the place of a jump host once it is changed. */
const INSTEAD: Readonly<Record<string, (hop: Hop) => string>> = {
  'name-unknown': withHost('NAME'),
  'dns-silent': withHost('ADDRESS'),
  'server-refused': withPort,
  'not-ssh': withPort,
};
