import { hostname } from 'node:os';
import { listeningPorts } from '../../checks/listening.ts';
import { cancelled, ExitCode, ExpectedError } from '../../errors.ts';
import * as questions from '../../input/questions.ts';
import * as serverQuestions from '../../input/serverQuestions.ts';
import { sshConfigOf } from '../../input/sshConfigOf.ts';
import { portTaken, unusedPort } from '../../plan/serverDevices.ts';
import { planServerSetup } from '../../plan/serverSetup.ts';
import { accountOf, defaultDeviceName } from '../../server/device.ts';
import { readServer, type ServerState } from '../../server/state.ts';
import { type Destination, formatDestination } from '../../tunnel/destination.ts';
import { withDeviceKey } from '../install/deviceHere.ts';
import { installAt } from '../install/both.ts';
import { atServer, withServerLock } from '../server/login.ts';
import { wayOf } from '../server/way.ts';
import { chooseScope, freeName, freeNameFor } from './place.ts';
import { acceptRisk } from './ports.ts';
import { confirmPlan, type Talk } from './talk.ts';

/** Whether the server's end is to be set up as well; only asked where no login of the person's own was named by flags. */
export async function wantsServerEnd(talk: Talk, host: Destination): Promise<boolean> {
  if (talk.draft.serverAdmin !== undefined) return true;
  if (talk.declinedServerEnd || talk.draft.host !== undefined) return false;
  serverQuestions.tellWhatFor(talk.ask);
  if (!(await serverQuestions.wanted(talk.ask))) {
    talk.declinedServerEnd = true;
    return false;
  }
  talk.draft = { ...talk.draft, serverAdmin: host };
  return true;
}

/**
 * The rest of the talk, where the server's end is set up in the same go. Nothing is touched, there or here, before the
 * plan is confirmed.
 * @returns false where the login there did not work, and the person wants to go another way
 */
export async function setUpBoth(talk: Talk): Promise<boolean> {
  const typed = talk.draft.serverAdmin!;
  let user = typed.user ?? (await serverQuestions.account(talk.ask, await usualUser(talk, typed)));
  for (;;) {
    const admin = { ...typed, user };
    let isIn = false;
    try {
      serverQuestions.tellLogin(talk.ask, formatDestination(admin));
      const way = await wayOf(talk, admin);
      await atServer(talk, admin, async (at) => {
        isIn = true;
        talk.draft = { ...talk.draft, serverAdmin: admin };
        await decide(talk, await readServer(at.server));
        talk.ask.say('');
        await withServerLock(at, true, (state) => withDeviceKey(talk, talk.draft, (key) =>
          installAt(at, state, way, talk.draft, key, { confirmPlan: confirmPlan(talk) })));
      });
      talk.output.progress(questions.sameAsCommand(commandFor(talk)));
      return true;
    } catch (error) {
      if (isIn || talk.signal.aborted || !(error instanceof ExpectedError) || error.exitCode === ExitCode.cancelled) throw error;
      questions.tellTrouble(talk.ask, error);
      const next = await serverQuestions.howToGetIn(talk.ask);
      if (next === 'server' || next === 'alone') return goElsewhere(talk, typed, next);
      if (next === 'account') user = await serverQuestions.account(talk.ask, user === 'root' ? undefined : 'root');
    }
  }
}

function goElsewhere(talk: Talk, typed: Destination, next: 'server' | 'alone'): false {
  const { serverAdmin: _admin, ...rest } = talk.draft;
  talk.draft = next === 'alone' ? { ...rest, host: typed } : rest;
  if (next === 'alone') talk.declinedServerEnd = true;
  return false;
}

/** Who ssh itself would log in as. */
async function usualUser({ machine, who }: Talk, typed: Destination): Promise<string> {
  return (await sshConfigOf(machine, who, typed)).user ?? 'root';
}

/** Asks for what is still open, with the server at hand to say what can be had. */
async function decide(talk: Talk, state: ServerState): Promise<void> {
  const { ask, machine, draft } = talk;
  serverQuestions.tellState(ask, planServerSetup(state).length === 0, state.devices.length);
  const target = draft.localHost === undefined && draft.localPort === undefined
    ? await serverQuestions.target(ask, await listeningPorts(machine))
    : { host: draft.localHost ?? 'localhost', port: draft.localPort ?? 22 };
  const remotePort = draft.remotePort ?? (await serverQuestions.remotePort(ask, target, unusedPort(state), (port) => portTaken(state, port)));
  const bind = draft.bind ?? ((await serverQuestions.audience(ask, remotePort)) === 'server' ? '127.0.0.1' : '*');
  if (draft.bind === undefined && bind === '*') acceptRisk(talk, 'public');
  const isTaken = (name: string) => state.accounts.has(accountOf(name));
  const device = draft.device ?? (await serverQuestions.deviceName(ask, freeName(defaultDeviceName(hostname()), (name) => !isTaken(name), 25), isTaken));
  talk.draft = { ...talk.draft, localHost: target.host, localPort: target.port, remotePort, bind, device };
  await chooseScope(talk);
  talk.draft = { ...talk.draft, name: talk.draft.name ?? (await freeNameFor(talk, talk.draft.serverAdmin!.host)) };
  if (talk.signal.aborted) throw cancelled();
}

/** What would do the same without questions; what is the default is left out. */
function commandFor({ draft, who }: Talk): string[] {
  const { name = '', serverAdmin, device = '', remotePort, bind, localHost, localPort, key, keepalive, cipher, noRelease, scope } = draft;
  return [
    ...(who.sudoUser === undefined ? [] : ['sudo']),
    'revtun-setup', 'install', name, '--server-admin', formatDestination(serverAdmin!), '--device', device, '--remote-port', String(remotePort),
    ...(bind === '127.0.0.1' || bind === undefined ? [] : ['--bind', bind, '--accept-risk=public']),
    ...(localHost === 'localhost' ? [] : ['--local-host', String(localHost)]),
    ...(localPort === 22 ? [] : ['--local-port', String(localPort)]),
    ...(key === undefined ? [] : ['--key', key]),
    ...(keepalive === undefined ? [] : ['--keepalive', String(keepalive)]),
    ...(cipher === undefined ? [] : ['--cipher', cipher]),
    ...(noRelease === true ? ['--no-release'] : []),
    ...(scope === (who.uid === 0 ? 'system' : 'user') || scope === undefined ? [] : ['--scope', scope]),
  ];
}
