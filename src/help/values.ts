import { CATALOGUE } from '../doctor/catalogue.ts';
import { RISKS } from '../tunnel/tunnel.ts';

/** What a shell can offer at a place of the command line: one of a few words, or what it finds on the machine. */
export type Values = readonly string[] | 'tunnels' | 'hosts' | 'files' | 'folders' | 'nothing';

/** By what the table of commands calls a place. Whatever is not in here is typed by the person alone. */
const KNOWN: Readonly<Record<string, Values>> = {
  NAME: 'tunnels',
  '[USER@]HOST[:PORT]': 'hosts',
  DEST: 'hosts',
  'DEST[,DEST]': 'hosts',
  'DEVICE|DEST': 'hosts',
  FILE: 'files',
  'FILE.pub': 'files',
  PATH: 'files',
  COMMAND: 'files',
  DIR: 'folders',
  RISK: RISKS,
  ID: Object.keys(CATALOGUE),
};

/** @param place as `NAME`; words to choose from speak for themselves: `system|user` */
export function valuesOf(place: string): Values {
  return /^[a-z-]+(\|[a-z-]+)+$/.test(place) ? place.split('|') : (KNOWN[place] ?? 'nothing');
}
