import { SERVICE_USER } from '../unit/render.ts';
import type { Patient } from './patient.ts';
import type { UnitFacts } from './unitFacts.ts';

/** A setting of somebody's drop-in that our unit says otherwise, and why. */
export interface Override {
  readonly file: string;
  /** `Restart=no` */
  readonly what: string;
}

/**
 * What drop-ins change of what keeps a tunnel going. systemd says what is in force; of commands and credentials, whose
 * every word would have to be compared, it is enough that a drop-in names them.
 */
export async function overridden({ machine, installed: { scope } }: Patient, unit: UnitFacts): Promise<Override[]> {
  const paths = unit.DropInPaths.split(' ').filter((path) => path !== '');
  if (paths.length === 0) return [];
  const texts = await Promise.all(paths.map(async (path) => ({ path, text: (await machine.read(path).catch(() => undefined))?.toString() ?? '' })));
  const saying = (key: string) => texts.flatMap(({ path, text }) => settingsOf(text).filter(([name]) => name === key).map(([name, value]) => ({ file: path, what: `${name}=${value}` })));
  const wanted: readonly (readonly [name: string, seen: string, wanted: string])[] = [
    ['Restart', unit.Restart, 'always'],
    ['StartLimitIntervalSec', unit.StartLimitIntervalUSec, '0'],
    ['Type', unit.Type, 'forking'],
    ['User', unit.User, scope === 'system' ? SERVICE_USER : ''],
  ];
  return [
    ...wanted.filter(([, seen, should]) => seen !== should).map(([name, seen]) => saying(name).at(-1) ?? { file: paths.join(', '), what: `${name}=${seen}` }),
    ...saying('ExecStart'),
    ...['LoadCredential', 'SetCredential', 'LoadCredentialEncrypted'].flatMap(saying).filter(({ what }) => /=(key:.*)?$/.test(what)),
  ];
}

/** The `Key=Value` lines of a unit file; comments and sections are left out. */
const settingsOf = (text: string) =>
  text.split('\n').flatMap((row): [string, string][] => {
    const [, key, value] = /^\s*([A-Za-z]+)\s*=\s*(.*?)\s*$/.exec(row) ?? [];
    return key === undefined || value === undefined ? [] : [[key, value]];
  });
