import { timeRecovery } from '../../demo/measure.ts';
import { failed } from '../../errors.ts';
import { commandLine } from '../../shell.ts';
import { unitName } from '../../unit/places.ts';
import { systemctl } from '../../unit/systemctl.ts';
import type { Context } from '../context.ts';
import { type Seen, type Stage, transfer } from './stage.ts';
import { install } from '../install/install.ts';
import { uninstall } from '../install/uninstall.ts';

/** The whole life of a tunnel, by the very code that gives real ones theirs. */
export async function playInstalled(stage: Stage): Promise<Seen> {
  const { show, world, draft, tunnel, key, port, signal } = stage;
  show.say('done', "a systemd user manager, which knows no unit but the demo's");
  const inWorld: Context = { ...stage, machine: world.machine, who: world.who, cwd: world.folder, output: show.output, interactive: false };
  await install(inWorld, draft, { newKey: key });
  const transferred = await transfer(stage);
  const seconds = await timeRecovery(world.machine, port, () => killSsh(stage), () => explainAbsence(stage), signal);
  const recoverySeconds = Math.round(seconds * 100) / 100;
  show.say('done', `ssh killed (SIGKILL): the tunnel was back after ${recoverySeconds.toFixed(1)} s`);
  await uninstall(inWorld, [tunnel.name], false, { scope: 'user' });
  return { manager: 'user', ...transferred, recoverySeconds };
}

async function killSsh({ world: { machine, who }, tunnel }: Stage): Promise<void> {
  const kill = systemctl(machine, 'user', who).argv('kill', '--signal=KILL', '--', unitName(tunnel.name));
  const { code, stderr } = await machine.run(kill);
  if (code !== 0) throw failed('demo-kill', `${commandLine(kill)}: ${stderr.trim()}`);
}

async function explainAbsence({ world: { machine, who }, tunnel, server }: Stage): Promise<string> {
  const state = await systemctl(machine, 'user', who).show(unitName(tunnel.name), ['ActiveState', 'SubState', 'Result', 'NRestarts']);
  return `systemd says: ${Object.entries(state).map(([name, value]) => `${name}=${value}`).join(' ')}\nThe ssh server says:\n${server.said().trimEnd().split('\n').slice(-5).join('\n')}`;
}
