import { InvalidValue } from '../../errors.ts';
import * as questions from '../../input/questions.ts';
import { scopeOf } from '../../input/resolve.ts';
import { commandLine } from '../../shell.ts';
import { defaultName } from '../../tunnel/tunnel.ts';
import { findInstalled } from '../../unit/installed.ts';
import { placesOf } from '../../unit/places.ts';
import type { Talk } from './talk.ts';

/** Decides whether it is a service of the system or of this user; asks only where both are possible. */
export async function chooseScope(talk: Talk): Promise<void> {
  const { draft, who, facts, ask, typed } = talk;
  if (draft.scope !== undefined) return;
  if (who.uid !== 0) questions.tellUserScope(ask, who.userName, commandLine(['sudo', ...typed]));
  const both = who.uid === 0 && who.sudoUser === undefined && facts.managers.user;
  talk.draft = { ...draft, scope: both ? await questions.scope(ask) : scopeOf(draft, who) };
}

/** Decides what the tunnel is called; a name that the flags say may be that of an installed one, to change it. */
export async function chooseName(talk: Talk): Promise<void> {
  const { draft, ask } = talk;
  if (draft.name !== undefined) return;
  const whyTaken = await takenNames(talk);
  const preset = freeName(talk.server?.typed ?? defaultName(''), (name) => whyTaken(name) === undefined);
  const name = await questions.name(ask, preset, (chosen) => {
    const why = whyTaken(chosen);
    if (why !== undefined) throw new InvalidValue(why);
  });
  talk.draft = { ...draft, name };
}

/** The name that a tunnel to this host gets without a question. */
export async function freeNameFor(talk: Talk, host: string): Promise<string> {
  const whyTaken = await takenNames(talk);
  return freeName(defaultName(host), (name) => whyTaken(name) === undefined);
}

/** Why a name cannot be had here; undefined for one that is free. */
async function takenNames({ draft, machine, who }: Talk): Promise<(name: string) => string | undefined> {
  const scope = scopeOf(draft, who);
  const installed = new Set((await findInstalled(machine, scope, who)).map(({ name }) => name));
  const ours = await machine.list(placesOf(scope, 'any', who.home).ours);
  return (name) => {
    if (installed.has(name)) return `There is a tunnel "${name}" already; its name with flags changes it: revtun-setup install ${name} …`;
    return ours.includes(name) ? `There are files of an earlier tunnel "${name}" in ${placesOf(scope, name, who.home).directory}.` : undefined;
  };
}

/** The name itself, or the first of name-2, name-3, … that is free. */
export function freeName(name: string, isFree: (name: string) => boolean, longest = 40): string {
  let candidate = name;
  for (let number = 2; !isFree(candidate) && number < 1000; number += 1) candidate = `${name.slice(0, longest - 4)}-${number}`;
  return candidate;
}
