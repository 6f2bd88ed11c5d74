import { appendKeyLine } from '../../checks/authorize.ts';
import * as questions from '../../input/questions.ts';
import { authorizedKeysLine, serverOf } from '../../tunnel/tunnel.ts';
import { chooseForwards } from './ports.ts';
import { atBench, outline, type Talk } from './talk.ts';

/** Appends the key's line to authorized_keys on the server, by a login of the person's own. */
export async function putLineThere(talk: Talk): Promise<void> {
  const line = await keyLine(talk);
  const done = await atBench(talk, ({ tunnel, bench }) => {
    questions.tellLogin(talk.ask, serverOf(tunnel));
    return appendKeyLine(talk.machine, tunnel, bench, line, talk.appended);
  });
  if (done) talk.appended = line;
  else if (!talk.signal.aborted) questions.tellLineNotThere(talk.ask);
}

/** Shows the key's line, and waits until a person has put it on the server. */
export async function letLineBePasted(talk: Talk): Promise<void> {
  const line = await keyLine(talk);
  await questions.paste(talk.ask, line, await outline(talk));
}

/** The line admits exactly the forwards of this tunnel, so those have to be known. */
async function keyLine(talk: Talk): Promise<string> {
  talk.restricted ??= await questions.restricted(talk.ask);
  if (!talk.restricted) return talk.key!.publicKey;
  await chooseForwards(talk);
  return authorizedKeysLine(await outline(talk), talk.key!.publicKey);
}
