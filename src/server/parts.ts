import { template } from '../package.ts';

/** An sh script that looks at a server for root, and prints what it finds in parts: see templates/server-parts.sh. */
export const partsScript = (name: 'state' | 'check' | 'firewall') => template('server-parts.sh') + template(`server-${name}.sh`);

/** What such a script printed, by the names of the parts. */
export function parseParts(printed: string): ReadonlyMap<string, string> {
  return new Map(printed.split('\n').flatMap((line): [string, string][] => {
    const blank = line.lastIndexOf(' ');
    return blank === -1 ? [] : [[line.slice(0, blank), Buffer.from(line.slice(blank + 1), 'base64').toString()]];
  }));
}
