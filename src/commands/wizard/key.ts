import { hostname } from 'node:os';
import { join } from 'node:path';
import { generateKey, publicKeyOf } from '../../checks/key.ts';
import { keysHere } from '../../checks/keysHere.ts';
import { tryTunnel } from '../../checks/trial.ts';
import { ExpectedError } from '../../errors.ts';
import * as questions from '../../input/questions.ts';
import { scopeOf } from '../../input/resolve.ts';
import { homeOfCaller } from '../../input/sshConfigOf.ts';
import { serverOf } from '../../tunnel/tunnel.ts';
import { placesOf } from '../../unit/places.ts';
import { letLineBePasted, putLineThere } from './line.ts';
import { atBench, outline, type Talk } from './talk.ts';

/** Decides the key: the one of the flags, one that is there, or a new one. */
export async function chooseKey(talk: Talk): Promise<void> {
  const { machine, draft, ask, who } = talk;
  if (draft.generateKey === true) return takeNewKey(talk);
  if (draft.key !== undefined) return takeKey(talk, draft.key);
  const home = homeOfCaller(who);
  const others = (talk.server?.identityFiles ?? []).map((path) => (path.startsWith('~/') ? join(home, path.slice(2)) : path));
  const keys = await keysHere(machine, join(home, '.ssh'), others);
  for (;;) {
    const chosen = await questions.key(ask, keys, { home, cwd: talk.cwd });
    if (chosen === 'new') return takeNewKey(talk);
    try {
      return await takeKey(talk, chosen);
    } catch (error) {
      if (!(error instanceof ExpectedError)) throw error;
      questions.tellTrouble(ask, error);
    }
  }
}

async function takeKey(talk: Talk, path: string): Promise<void> {
  talk.key = { path, publicKey: await publicKeyOf(talk.machine, path) };
  talk.usesNewKey = false;
  talk.draft = { ...withoutKey(talk), key: path };
}

async function takeNewKey(talk: Talk): Promise<void> {
  const { machine, who, workshop } = talk;
  talk.draft = { ...withoutKey(talk), generateKey: true };
  const { name } = talk.draft;
  const earlier = name === undefined ? undefined : placesOf(scopeOf(talk.draft, who), name, who.home).generatedKey;
  if (earlier !== undefined && (await machine.stat(earlier))) {
    talk.key = { path: earlier, publicKey: await publicKeyOf(machine, earlier) };
    return;
  }
  talk.newKey ??= await generateKey(machine, workshop, `revtun-${name ?? talk.server?.typed ?? 'tunnel'}@${hostname()}`);
  talk.key = talk.newKey;
  talk.usesNewKey = true;
}

function withoutKey({ draft: { key: _path, generateKey: _new, ...rest } }: Talk) {
  return rest;
}

/** Comes back when the server lets the key in, by whatever way the person chooses to get there. */
export async function getKeyAccepted(talk: Talk): Promise<void> {
  for (;;) {
    const trouble = await whyNoLogin(talk);
    if (trouble === undefined) return questions.tellKeyAccepted(talk.ask);
    questions.tellKeyTrouble(talk.ask, trouble, serverOf(await outline(talk)));
    await mend(talk, trouble);
  }
}

async function whyNoLogin(talk: Talk): Promise<ExpectedError | undefined> {
  try {
    await atBench(talk, (probe) => tryTunnel({ ...probe, tunnel: { ...probe.tunnel, forwards: [] } }, talk.key!.publicKey, new Set()));
    return undefined;
  } catch (error) {
    if (talk.signal.aborted || !(error instanceof ExpectedError)) throw error;
    return error;
  }
}

async function mend(talk: Talk, trouble: ExpectedError): Promise<void> {
  switch (await questions.howToGetIn(talk.ask, trouble.id === 'key-refused')) {
    case 'password': return putLineThere(talk);
    case 'paste': return letLineBePasted(talk);
    case 'key':
      talk.draft = withoutKey(talk);
      return chooseKey(talk);
    case 'account': {
      const user = await questions.account(talk.ask);
      talk.draft = { ...talk.draft, host: { ...talk.draft.host!, user } };
      return undefined;
    }
    case 'again': return undefined;
  }
}
