import { basename } from 'node:path';
import { LOCK_NAME, TEMPORARY_FILE } from '../machine/machine.ts';
import { template, version } from '../package.ts';
import { commandLine } from '../shell.ts';
import { renderTemplate } from '../template.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import type { Places } from '../unit/places.ts';
import { execArgument } from '../unit/quote.ts';
import { type Tryout, tryoutPlaces } from '../unit/tryout.ts';
import type { Step } from './step.ts';

/** Seconds for a new login to confirm a change that cuts off the session it was made in. */
export const CONFIRM_WITHIN = 60;

/** Whether a plan ends the connections that a running tunnel carries. */
export const cutsOff = (steps: readonly Step[], { unit }: Pick<Places, 'unit'>) =>
  steps.some((step) => step.kind === 'run' && step.argv.at(-1) === unit && step.argv.some((word) => word === 'restart' || word === 'stop'));

/**
 * The same plan, with the way back laid before anything is changed: unless {@link keepStep} is taken in time, a unit of
 * systemd's puts every file back that the plan writes or removes, and starts the tunnel as it was. Pure.
 * @param leftOver whether an earlier one was cut off while it cleared up
 */
export function withWayBack(steps: readonly Step[], { name, scope }: Pick<Tunnel, 'name' | 'scope'>, places: Places, seconds: number, leftOver: boolean): Step[] {
  const at = tryoutPlaces(name, places);
  const touched = steps.flatMap((step) => ((step.kind === 'write' || step.kind === 'remove') && !TEMPORARY_FILE.test(basename(step.path)) ? [step.path] : []));
  // The unit first, in any case: what the former tunnel forwarded is read from its copy.
  const paths = [places.unitFile, ...touched];
  return [
    ...(leftOver ? [clear(name, places)] : []),
    { kind: 'make-directory', path: at.directory, mode: 0o755 },
    { kind: 'write', path: at.scriptSource, content: restoreScript(name, scope, places, seconds, [...new Set(paths)]), mode: 0o755 },
    { kind: 'write', path: at.restorerSource, content: restorerUnit(name, scope, places), mode: 0o644 },
    {
      kind: 'run', title: `have the former tunnel come back in ${seconds} s`, argv: ['sh', at.scriptSource, 'arm'],
      undo: ['sh', '-c', '[ ! -e "$1" ] || exec sh "$1" drop', 'sh', at.scriptSource],
    },
    ...steps,
  ];
}

/** The change is made and proven: the time to confirm it begins. Fails where the former tunnel is back already. */
export const holdStep = (name: string, places: Places, seconds: number): Step =>
  ({ kind: 'run', title: `wait ${seconds} s for somebody to confirm it`, argv: ifThere(tryoutPlaces(name, places).script, 'hold') });

/** The change stays. Fails where the former tunnel is back already. */
export const keepStep = (name: string, places: Places): Step =>
  ({ kind: 'run', title: 'keep it', argv: ifThere(tryoutPlaces(name, places).script, 'keep'), outlivesSession: true });

/**
 * The steps of an uninstall while a change is not confirmed: when all is gone, nothing comes back; where the uninstall
 * fails before that, the change waits to be confirmed as before, with the whole time for it. Pure.
 */
export function forgetting(steps: readonly Step[], name: string, places: Places, tryout: Tryout | 'left-over' | undefined): Step[] {
  if (tryout === undefined) return [...steps];
  if (tryout === 'left-over') return [clear(name, places), ...steps];
  // Only an empty directory is removed.
  const end = steps.findIndex(({ kind }) => kind === 'remove-directory');
  const [before, after] = end < 0 ? [steps, []] : [steps.slice(0, end), steps.slice(end)];
  return [...(tryout.complete ? [reopenStep(name, places)] : []), ...before, keepStep(name, places), ...after];
}

const reopenStep = (name: string, places: Places): Step => {
  const { script } = tryoutPlaces(name, places);
  return { kind: 'run', title: 'let nothing come back meanwhile', argv: ifThere(script, 'reopen'), undo: ifThere(script, 'hold') };
};

/** By its own script, as a timer or a unit may be left as well. */
function clear(name: string, places: Places): Step {
  const { directory, scriptSource, restorerFile } = tryoutPlaces(name, places);
  const text = '[ ! -e "$1" ] || sh "$1" leave; rm -rf -- "$2" "$3"';
  return { kind: 'run', title: 'clear away what is left of an earlier change', argv: ['sh', '-c', text, 'sh', scriptSource, directory, restorerFile] };
}

const ifThere = (script: string, role: string) =>
  ['sh', '-c', '[ -e "$1" ] || { echo "The time was up: everything is as it was." >&2; exit 1; }; exec sh "$1" "$2"', 'sh', script, role];

function restoreScript(name: string, scope: Tunnel['scope'], places: Places, seconds: number, paths: readonly string[]): string {
  const { directory, restorer, restorerFile } = tryoutPlaces(name, places);
  const word = (text: string) => commandLine([text]);
  return renderTemplate('restore-tunnel.sh.ejs', {
    version: version(), name, seconds, user: scope === 'user', backup: template('backup.sh'),
    directory: word(directory), tunnel: word(places.unit), restorer: word(restorer), restorerFile: word(restorerFile), lock: LOCK_NAME, paths: paths.map(word),
  });
}

function restorerUnit(name: string, scope: Tunnel['scope'], places: Places): string {
  return renderTemplate('former-tunnel.service.ejs', {
    version: version(), name, tunnel: places.unit, system: scope === 'system', script: execArgument(tryoutPlaces(name, places).script),
  });
}
