import { withManager } from '../../demo/manager.ts';
import { withServer } from '../../demo/server.ts';
import { withService } from '../../demo/service.ts';
import { makeShow, type Show } from '../../demo/show.ts';
import { waitFor } from '../../demo/waitFor.ts';
import { withWorld } from '../../demo/world.ts';
import { cancelled, failed } from '../../errors.ts';
import type { Context } from '../context.ts';
import { playDirectly } from './direct.ts';
import { playInstalled } from './installed.ts';
import { setStage } from './stage.ts';

/**
 * Shows a tunnel's whole life on this machine alone: an sshd and a systemd of the demo's own, the real install, bytes
 * through the tunnel, ssh killed and back, the real uninstall. Where no systemd can be started, the tunnel runs
 * without. Nothing stays.
 * @throws ExpectedError when this machine has no sshd, or something does not go as it should
 */
export async function demo(context: Context): Promise<void> {
  const { machine, who, output, signal } = context;
  const began = performance.now();
  const show = makeShow(output);
  const { traces, ...seen } = await withWorld(context, async (world) => {
    output.progress(`A tunnel from this machine to itself, by an ssh server and a systemd of its own in\n${world.folder}, for about ten seconds. Nothing of yours is touched.`);
    return withService((service) => withServer(machine, who, (server) => withManager(context, world, async (manager) => {
      const stage = await setStage({ ...context, show, world, service, server });
      const seen = manager.runs ? await playInstalled(stage) : await playDirectly(stage, manager.why);
      return { ...seen, traces: { folders: [world.folder, server.folder], ports: [server.port, stage.port] } };
    })));
  });
  if (signal.aborted) throw cancelled();
  await lookForTraces(context, show, traces);
  const seconds = Math.round(performance.now() - began) / 1000;
  output.object({ ok: true, changed: false, steps: show.said, seconds, ...seen });
  output.progress(`That took ${seconds.toFixed(1)} s. For a tunnel that stays: revtun-setup`);
}

/** Looked up, not remembered. */
async function lookForTraces({ machine }: Context, { say }: Show, { folders, ports }: { folders: readonly string[]; ports: readonly number[] }): Promise<void> {
  const isClosed = async (port: number) => (await machine.dial({ host: '127.0.0.1', port }, 1000)).outcome === 'refused';
  const isAbsent = async (folder: string) => (await machine.stat(folder)) === undefined;
  const isGone = async () => (await Promise.all([...folders.map(isAbsent), ...ports.map(isClosed)])).every(Boolean);
  if (!(await waitFor(isGone, 3000))) {
    throw failed('demo-left', `Something is left of the demo: look at ${folders.join(', ')}, and at what listens on ports ${ports.join(', ')}.`, 'This is a bug in revtun-setup. Please report it.');
  }
  say('done', `gone: ${folders.join(', ')}, and what listened on ports ${ports.join(', ')}`);
}
