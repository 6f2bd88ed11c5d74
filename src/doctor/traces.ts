import { isOurs } from '../template.ts';
import type { Identity, Machine } from '../machine/machine.ts';
import type { Scope } from '../tunnel/tunnel.ts';
import { type Installed, recordDamaged } from '../unit/installed.ts';
import { placesOf } from '../unit/places.ts';
import { line, revtun, systemctlLine } from './cures.ts';
import { isMask } from './masks.ts';
import { fault, unsure } from './observation.ts';
import type { Host, Part } from './patient.ts';

/** What was found of a tunnel that cannot be read back. */
export type Trace = Installed & { readonly tunnel: undefined };

/** Tunnels of whose files some are there, but no unit of ours: what a killed installation leaves, or somebody's hand. */
export async function findTraces(machine: Machine, scope: Scope, who: Identity): Promise<Trace[]> {
  const { ours } = placesOf(scope, 'x', who.home);
  const traces: Trace[] = [];
  for (const name of await machine.list(ours)) {
    if (name.startsWith('.')) continue; // what a change keeps that has yet to be confirmed
    const places = placesOf(scope, name, who.home);
    if ((await machine.stat(places.directory))?.kind === 'directory') traces.push({ name, scope, places, tunnel: undefined, lingering: false });
  }
  return traces;
}

/** What an install leaves whose new key the server has yet to admit. To take that away would make the admission worthless. */
async function holdsOnlyKey(machine: Machine, directory: string): Promise<boolean> {
  const names = await machine.list(directory);
  return names.includes('key') && names.every((one) => one === 'key' || one === 'key.pub');
}

/** Says what is wrong with one that cannot be read back. */
export const tracePart = (installed: Trace): Part<Host> => async function* ({ machine, who }) {
  const about = { who, installed };
  const { places, name } = installed;
  if (installed.hidden === true) {
    yield unsure('unit', `${places.unitFile} may not be read by you: try with sudo`);
    return false;
  }
  const stat = await machine.stat(places.unitFile);
  const text = stat?.kind === 'file' ? ((await machine.read(places.unitFile))?.toString() ?? '') : undefined;
  const again = `Install it again with its flags, or take the rest away:\n${revtun(about, 'install')} …\n${revtun(about, 'uninstall')}`;
  if (stat === undefined && (await holdsOnlyKey(machine, places.directory))) {
    yield fault('unit', 'half-installed', `${name} is not installed yet: its key was made, and waits to be admitted on the server.`, `Let the server admit the key whose public half is in\n  ${places.generatedKey}.pub\nThen install it again with its flags; it takes this key:\n${revtun(about, 'install')} …`);
  } else if (stat === undefined) {
    yield fault('unit', 'half-installed', `${places.directory} is there, but no ${places.unit}: an installation did not come to its end, or somebody removed the unit.`, again);
  } else if (await isMask(machine, places.unitFile)) {
    yield fault('unit', 'unit-masked', `${places.unit} is masked: in place of the unit there is a link to /dev/null, and systemd starts it no more.`, `${systemctlLine(about, 'unmask')}\nThen install it again with its flags:\n${revtun(about, 'install')} …`);
  } else if (text === '') {
    yield fault('unit', 'half-installed', `${places.unitFile} is empty, as a power cut leaves a file that was not written to the end.`, again);
  } else if (text !== undefined && isOurs(text)) {
    const { id, message } = recordDamaged(installed);
    yield fault('unit', id, message, again);
  } else {
    const what = stat.kind === 'file' ? 'lacks its first line, by which revtun-setup knows a unit of its own' : 'is no file that revtun-setup wrote';
    yield fault('unit', 'unit-altered', `${places.unitFile} ${what}.`, `Move it away, then install ${name} again with its flags:\n${line(about, ['mv', places.unitFile, '/root/'])}\n${revtun(about, 'install')} …`);
  }
  return false;
};
