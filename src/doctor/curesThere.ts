import type { ExpectedError } from '../errors.ts';
import { change } from './cures.ts';
import { fault, type Observation } from './observation.ts';
import type { Patient } from './patient.ts';

/** The finding of an install, with the flags that it names put into a command for this tunnel. */
export function cureFor(patient: Patient, check: string, { id, message, hint }: ExpectedError): Observation {
  const flags = FLAGS[id];
  return fault(check, id, message, flags === undefined ? hint : `${hint}${hint === '' ? '' : '\n'}To change the tunnel:\n${change(patient, ...flags)}`);
}

const FLAGS: Readonly<Record<string, readonly string[]>> = {
  'name-unknown': ['--host', 'NAME'],
  'dns-silent': ['--host', 'ADDRESS'],
  'server-refused': ['--port', 'PORT'],
  'not-ssh': ['--port', 'PORT'],
  'host-key-changed': ['--host-key', 'SHA256:…'],
  'host-key-unknown': ['--host-key', 'SHA256:…'],
  'listen-not-permitted': ['--remote-port', 'PORT'],
  'port-privileged': ['--remote-port', 'PORT'],
  'port-taken': ['--remote-port', 'PORT'],
  'port-mine': ['--remote-port', 'PORT'],
  'port-held': ['--remote-port', 'PORT'],
};
