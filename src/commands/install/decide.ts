import { type Desired, planInstall } from '../../plan/plan.ts';
import type { Step } from '../../plan/step.ts';
import { renderFiles } from '../../unit/render.ts';
import { systemctl } from '../../unit/systemctl.ts';
import type { Job } from './job.ts';

/** What should be there, and the steps to it. */
export interface Decision {
  readonly desired: Desired;
  readonly steps: readonly Step[];
  /** Those that the server is trusted by, as lines of known_hosts. */
  readonly hostKeys: readonly string[];
}

/** What one installation comes to. Pure. */
export function decide(job: Job, hostKeys: readonly string[]): Decision {
  const { machine, who, draft, tunnel, places, present, key } = job;
  const desired: Desired = {
    tunnel, places, start: draft.noStart !== true, selinux: job.facts.selinux,
    files: renderFiles(tunnel, places, hostKeys.map((line) => `${line}\n`).join(''), { lingering: job.lingering, namespaces: job.facts.namespaces }),
    ...(key.made && { newKey: key.made }),
  };
  return { desired, steps: planInstall(desired, present, systemctl(machine, tunnel.scope, who), who.userName), hostKeys };
}

/** The unit, for a person to read. */
export const unitOf = ({ desired }: Decision) => desired.files.at(-1)!.content;
