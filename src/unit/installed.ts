import { join } from 'node:path';
import { failed } from '../errors.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import { isOurs } from '../template.ts';
import { fromSettings, type Scope, type Tunnel } from '../tunnel/tunnel.ts';
import { type Places, placesOf, tunnelName, unitDirectoryOf } from './places.ts';
import { hostKeyLines, RECORD_SECTION } from './render.ts';

/** A unit of ours that was found on the machine. */
export interface Installed {
  readonly name: string;
  readonly scope: Scope;
  readonly places: Places;
  /** What the unit records; undefined when somebody damaged the record, or when it may not be read. */
  readonly tunnel: Tunnel | undefined;
  /** Set where its unit may not be read by whoever asks: it counts as ours, as nobody can tell. */
  readonly hidden?: true;
  /** We switched lingering on; the last tunnel to go switches it off again. */
  readonly lingering: boolean;
}

/** The error for a unit of ours whose record cannot be had: somebody damaged it, or keeps it from the one who asks. */
export const recordDamaged = ({ name, places, hidden }: Installed) =>
  hidden === true
    ? failed('record-hidden', `${places.unitFile} may not be read by you.`, `Try with sudo. So that everybody may: sudo revtun-setup doctor --fix ${name}`)
    : failed('record-damaged', `The record in ${places.unitFile} cannot be read.`, `Install ${name} again with its flags, or uninstall it.`);

/** Every tunnel of ours in a scope. Units that carry our kind of name but not our header are not ours. */
export async function findInstalled(machine: Machine, scope: Scope, who: Identity): Promise<Installed[]> {
  const directory = unitDirectoryOf(scope, who.home);
  const found: Installed[] = [];
  for (const file of await machine.list(directory)) {
    const name = tunnelName(file);
    if (name === undefined || (await machine.stat(join(directory, file)))?.kind !== 'file') continue;
    const text = await textOf(machine, join(directory, file));
    if (text === undefined) found.push({ name, scope, places: placesOf(scope, name, who.home), tunnel: undefined, hidden: true, lingering: false });
    else if (isOurs(text)) found.push(readBack(text, name, scope, who));
  }
  return found;
}

/** What a copy of a tunnel's unit records; undefined where that cannot be read. */
export async function recordedIn(machine: Machine, path: string, name: string, scope: Scope): Promise<Tunnel | undefined> {
  const text = await textOf(machine, path);
  return text === undefined ? undefined : tunnelFrom(name, scope, readRecord(text));
}

/** The host keys that are pinned for it, as lines of known hosts. */
export const readPinned = async (machine: Machine, { knownHosts }: Places) => hostKeyLines((await machine.read(knownHosts))?.toString() ?? '');

/** Every tunnel of ours on the machine: the system's, and those of whoever asks. */
export async function findInstalledAnywhere(machine: Machine, who: Identity): Promise<Installed[]> {
  const [system, user] = await Promise.all([findInstalled(machine, 'system', who), findInstalled(machine, 'user', who)]);
  return [...system, ...user];
}

/** @returns undefined where it may not be read */
async function textOf(machine: Machine, path: string): Promise<string | undefined> {
  try {
    return (await machine.read(path))?.toString() ?? '';
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EACCES') return undefined;
    throw error;
  }
}

function readBack(text: string, name: string, scope: Scope, who: Identity): Installed {
  const record = readRecord(text);
  return {
    name,
    scope,
    places: placesOf(scope, name, who.home),
    tunnel: tunnelFrom(name, scope, record),
    lingering: record.some(([key, value]) => key === 'Lingering' && value === 'yes'),
  };
}

/** The `Key=Value` lines of our own section. */
function readRecord(unitText: string): [string, string][] {
  const [, section = ''] = unitText.split(`\n${RECORD_SECTION}\n`);
  return section.split('\n').flatMap((line): [string, string][] => {
    const [, key, value] = /^([A-Za-z]+)=(.*)$/.exec(line) ?? [];
    return key === undefined || value === undefined ? [] : [[key, value]];
  });
}

function tunnelFrom(name: string, scope: Scope, record: readonly (readonly [string, string])[]): Tunnel | undefined {
  try {
    return fromSettings(name, scope, record);
  } catch {
    return undefined;
  }
}
