import type { ExpectedError } from '../errors.ts';
import { type Observation, unsure } from './observation.ts';
import type { Glance } from './seat.ts';
import { linkOf } from './story.ts';

/**
 * Turned away for the moment, or not let in within the short time that a person waits: the service has more patience, and
 * no session that stands is harmed.
 */
const HARMLESS = ['server-busy', 'banned', 'server-silent', 'server-mute', 'packets-lost', 'login-silent'];

/** What came of a login that is no fault, as the tunnel stands all the same; undefined where it may be one. */
export const whileItStands = ({ id, message }: ExpectedError, { state }: Glance): Observation | undefined =>
  state === 'up' && HARMLESS.includes(id) ? unsure(linkOf(id), `${message} The tunnel stands all the same.`) : undefined;
