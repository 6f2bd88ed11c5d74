import { fingerprint, type HostKeySituation, trustHostKeys, type TrustWish } from '../../checks/hostKey.ts';
import { withWorkbench } from '../../checks/workbench.ts';
import { ExitCode, ExpectedError } from '../../errors.ts';
import type { Draft } from '../../input/fields.ts';
import * as questions from '../../input/questions.ts';
import { forwardsOf, nameOf, resolveTunnel } from '../../input/resolve.ts';
import { homeOfCaller, sshConfigOf } from '../../input/sshConfigOf.ts';
import { hostsOfSshConfig } from '../../input/sshHosts.ts';
import type { Destination } from '../../tunnel/destination.ts';
import { wantsServerEnd } from './serverEnd.ts';
import type { Talk } from './talk.ts';

/** Finds a server that can be reached and whose host key the person vouches for; or one whose end is to be set up as well. */
export async function findServer(talk: Talk): Promise<void> {
  const { machine, who, ask, signal } = talk;
  for (;;) {
    const host = talk.draft.serverAdmin ?? talk.draft.host ?? (await questions.server(ask, await hostsOfSshConfig(machine, homeOfCaller(who))));
    if (await wantsServerEnd(talk, host)) return;
    try {
      return await reach(talk, host);
    } catch (error) {
      if (signal.aborted || !isAboutTheName(error)) throw error;
      questions.tellTrouble(ask, error);
      const { host: _host, user: _user, port: _port, ...rest } = talk.draft;
      talk.draft = rest;
    }
  }
}

/** Not what another name would not mend: a host key that nobody vouches for, and a person who leaves. */
const isAboutTheName = (error: unknown): error is ExpectedError =>
  error instanceof ExpectedError && (error.exitCode === ExitCode.failed || error.exitCode === ExitCode.usage);

async function reach(talk: Talk, host: Destination): Promise<void> {
  const { machine, who, facts, ask } = talk;
  const { user, port, ...rest } = talk.draft;
  // What was typed just now says more than a flag of before.
  const asked: Destination = { ...(user !== undefined && { user }), ...(port !== undefined && { port }), ...host };
  const some = forwardsOf(rest).length > 0 ? {} : { remotePort: 22 };
  const { tunnel } = await resolveTunnel({ ...rest, ...some, host: asked, generateKey: true }, machine, facts);
  questions.tellReaching(ask, tunnel);
  const trusted = await withWorkbench(machine, tunnel, undefined, talk.signal, (bench) =>
    trustHostKeys(machine, who, tunnel, bench, wishOf(talk), []));
  talk.server = { typed: nameOf({ host: asked })!, identityFiles: (await sshConfigOf(machine, who, asked)).identityfile };
  talk.trusted = trusted.lines;
  talk.draft = {
    ...withoutTrust(rest),
    // What an alias stands for is decided here, once; nothing may decide otherwise later.
    host: { host: tunnel.host, user: tunnel.user, port: tunnel.port },
    jump: tunnel.jump,
    hostKey: trusted.lines.map(fingerprintOfLine),
  };
}

const fingerprintOfLine = (line: string) => {
  const [, type = '', blob = ''] = line.split(' ');
  return fingerprint({ type, blob });
};

/** Who vouches for host keys: the flags, or else the person. */
function wishOf({ draft, ask }: Talk): TrustWish {
  if (draft.hostKey) return { fingerprints: draft.hostKey };
  if (draft.knownHosts !== undefined) return { knownHostsFile: draft.knownHosts };
  if (draft.acceptNewHostKey === true) return { acceptNew: true };
  return { confirm: (situation: HostKeySituation) => questions.hostKey(ask, situation) };
}

function withoutTrust({ knownHosts: _file, acceptNewHostKey: _new, ...rest }: Draft): Draft {
  return rest;
}
