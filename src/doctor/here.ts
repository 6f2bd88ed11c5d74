import { filesPart } from './filesPart.ts';
import { keyPart, pinnedPart } from './keyPart.ts';
import { localPortsPart } from './localPortsPart.ts';
import { diskPart, sshPart, systemdPart } from './machineParts.ts';
import type { Host, Part } from './patient.ts';
import { rivalsPart } from './rivalsPart.ts';
import { bootPart, servicePart } from './servicePart.ts';
import { unitPart } from './unitPart.ts';

/** This machine, with or without a tunnel. */
export const MACHINE: readonly (readonly [string, Part<Host>])[] = [['ssh', sshPart], ['systemd', systemdPart], ['disk', diskPart]];

/** What is installed here for a tunnel. */
export const INSTALLED: readonly (readonly [string, Part])[] = [
  ['unit', unitPart],
  ['files', filesPart],
  ['key', keyPart],
  ['pinned', pinnedPart],
  ['boot', bootPart],
  ['service', servicePart],
  ['rivals', rivalsPart],
  ['local ports', localPortsPart],
];
