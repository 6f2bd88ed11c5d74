import { isFault, type Proof, proveTunnel } from '../checks/verify.ts';
import type { Workbench } from '../checks/workbench.ts';
import { failed } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import type { Mark, Output } from '../output.ts';
import { commandLine } from '../shell.ts';
import { howToConnect } from '../tunnel/connect.ts';
import { describeForwards, isDeviceAccount, remoteForwards, serverOf, toSettings, type Tunnel } from '../tunnel/tunnel.ts';
import type { Context } from './context.ts';

/** Tells what an install is about: the tunnel, or what changes of it, in the words of ssh_config(5). */
export function tellDifferences(output: Output, old: Tunnel | undefined, wanted: Tunnel): void {
  if (!old) {
    output.progress(`${wanted.name}: ${describeForwards(wanted)} by ${serverOf(wanted)}, with the key ${wanted.identityFile}`);
    if (wanted.ciphers.startsWith('^aes')) output.progress("cipher: AES-GCM first, as this processor has AES instructions (--cipher default: ssh's own order)");
    return;
  }
  const [before, after] = [old, wanted].map((tunnel) => toSettings(tunnel).map((setting) => setting.join(' '))) as [string[], string[]];
  for (const line of before.filter((one) => !after.includes(one))) output.progress(`- ${line}`);
  for (const line of after.filter((one) => !before.includes(one))) output.progress(`+ ${line}`);
}

/**
 * Tells what is true of a service that is active, and how far that could be shown.
 * @returns undefined where nothing was to be looked at
 */
export async function prove({ machine, who, output }: Context, tunnel: Tunnel, bench: Workbench, pinned: readonly string[], { noVerify }: Draft, isUp: boolean): Promise<Proof[] | undefined> {
  if (!isUp) return undefined;
  output.mark('done', `active: ${serverOf(tunnel)} has confirmed every forward`);
  if (noVerify === true) return undefined;
  await bench.pin(pinned);
  const proofs = await proveTunnel(machine, who, tunnel, bench, pinned);
  for (const proof of proofs) tellProof(output, proof);
  return proofs;
}

export const tellProof = (output: Output, proof: Proof) => output.mark(markOf(proof), `${proof.finding}: ${proof.says}`);

export const markOf = (proof: Proof): Mark => (isFault(proof) ? 'fault' : proof.finding === 'proven' ? 'done' : 'unknown');

/** @throws ExpectedError when a forward is not what was asked for */
export function failOnFault(proofs: readonly Proof[] | undefined, accepted: readonly string[] = []): void {
  const faults = proofs?.filter((proof) => isFault(proof) && !(proof.finding === 'made-public' && accepted.includes('public'))) ?? [];
  if (faults.length > 0) {
    throw failed(faults[0]!.finding, `The tunnel is not what was asked for: ${faults.map(({ says }) => says).join('\n')}`, 'To install it all the same: --no-verify');
  }
}

/** Says what a server costs that keeps the port of a dead session: sshd's own setting, and the kernel's TCP keepalive. */
export function tellStaleness(output: Output, tunnel: Tunnel): void {
  if (isDeviceAccount(tunnel.user) || remoteForwards(tunnel).length === 0) return;
  output.progress(
    `after a power cut or a lost link, ${tunnel.host} may keep the port taken for up to 2 h 11 min; revtun-setup server setup mends that`,
  );
}

export function tellHowToConnect({ output, who }: Context, tunnel: Tunnel): void {
  const how = howToConnect(tunnel, who.sudoUser ?? who.userName);
  if (how) output.progress(`\nFrom elsewhere:\n  ${commandLine(how.command)}\nor in ~/.ssh/config there:\n${how.config.replace(/^/gm, '  ').trimEnd()}`);
}

/** How far the truth about a tunnel was established. */
export type Level = 'listener' | 'proven';

/**
 * The `verified` part of a JSON answer; null when nothing was looked at. An active service means that the server has
 * confirmed every listener, because the unit becomes active no sooner.
 */
export function verifiedObject(proofs: readonly Proof[] | undefined): { level: Level; forwards: readonly Proof[] } | null {
  if (proofs === undefined) return null;
  return { level: proofs.length > 0 && proofs.every(({ finding }) => finding === 'proven') ? 'proven' : 'listener', forwards: proofs };
}
