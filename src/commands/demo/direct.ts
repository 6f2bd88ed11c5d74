import { readFacts } from '../../checks/facts.ts';
import { trustHostKeys } from '../../checks/hostKey.ts';
import { proveTunnel } from '../../checks/verify.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { answersAt } from '../../demo/measure.ts';
import { waitFor } from '../../demo/waitFor.ts';
import { cancelled, failed } from '../../errors.ts';
import { commandLine } from '../../shell.ts';
import { checkArgv } from '../../tunnel/ssh.ts';
import { placesOf } from '../../unit/places.ts';
import { renderUnit } from '../../unit/render.ts';
import { type Seen, type Stage, transfer } from './stage.ts';
import { tellProof } from '../telling.ts';

/** The demo ends its ssh by itself, in its own time. */
const NEVER = new AbortController().signal;

/** What can be shown without a systemd: the unit as it would be, and its ssh in our own hands. */
export async function playDirectly(stage: Stage, whyNoManager: string): Promise<Seen> {
  const { show, output, world: { machine, who }, server, tunnel, key, port, signal } = stage;
  show.say('unknown', `no systemd for the demo: ${whyNoManager}`);
  const { namespaces } = await readFacts(machine, who);
  const unit = renderUnit(tunnel, placesOf('user', tunnel.name, who.home), { lingering: false, namespaces });
  output.progress(`  This is the unit that would be installed:\n\n${unit.replace(/^(?=.)/gm, '    ')}`);

  return withWorkbench(machine, tunnel, key.path, NEVER, async (bench) => {
    const { lines } = await trustHostKeys(machine, who, tunnel, bench, { fingerprints: [server.fingerprint] }, []);
    const ending = new AbortController();
    let lastWords: string | undefined;
    const ssh = bench.ssh(tunnel, IN_FOREGROUND, tunnel.forwards, { signal: ending.signal, holdInput: true })
      .then(({ stderr }) => (lastWords = stderr.trim()));
    try {
      await waitFor(async () => lastWords !== undefined || (await answersAt(machine, port)), 10_000, signal);
      if (signal.aborted) throw cancelled();
      if (lastWords !== undefined) throw failed('demo-ssh', `The tunnel's ssh ended: ${lastWords}`);
      show.say('done', `its ssh, by hand: ${commandLine(checkArgv(tunnel, bench.config, IN_FOREGROUND, tunnel.forwards))}`);
      for (const proof of await proveTunnel(machine, who, tunnel, bench, lines)) tellProof(show.output, proof);
      return { manager: null, ...(await transfer(stage)), recoverySeconds: null };
    } finally {
      ending.abort();
      await ssh;
    }
  });
}

/** The unit's ssh goes to the background by itself; here it has to end with us. */
const IN_FOREGROUND = ['-N', '-T'];
