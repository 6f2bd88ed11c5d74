import type { Draft } from '../../input/fields.ts';
import type { Context } from '../context.ts';
import { findTunnel } from '../find.ts';
import { conclude, look, print, problemOf, rowsOf, rowsOfProof, tryToProve } from './seen.ts';

/**
 * One tunnel's truth: what systemd says, what the server confirmed, and whether a connection comes back here.
 * @throws ExpectedError exit code 3 when it is not running, 1 when it runs but is not what was asked for
 */
export async function status(context: Context, name: string | undefined, draft: Draft): Promise<void> {
  const seen = await look(context, await findTunnel(context, name, draft));
  const proven = seen.state.state === 'up' && draft.noVerify !== true ? await tryToProve(context, seen) : undefined;
  print(context.output, rowsOf(context, seen, rowsOfProof(proven)));
  conclude(context, seen, proven, problemOf(seen, proven));
}
