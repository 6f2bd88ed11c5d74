import type { Command } from 'commander';
import { usage } from '../errors.ts';
import { type Draft, fieldOf } from '../input/fields.ts';
import { parseDeviceName } from '../server/device.ts';
import { bindOption, type DeviceFlags, keyOption, wishOf } from './deviceFlags.ts';
import { withFields } from './flags.ts';
import { addServerScriptCommands } from './serverScriptCommands.ts';
import type { Session } from './session.ts';
import { read, readDestination } from './values.ts';
import { typedBelow } from './words.ts';

const DEST = 'the server, [USER@]HOST[:PORT], with root or sudo there';

const fields = (...keys: (keyof Draft)[]) => keys.map(fieldOf);

/** `revtun-setup server …`: the server's end, for who administers it. */
export function addServerCommands(program: Command, session: () => Session): void {
  const server = withFields(program.command('server'), [])
    .summary("the server's end: accounts that can hold one port open and nothing else")
    .description("Sets up, checks, lists and revokes the server's end, over plain ssh: accounts that can each hold one port open and nothing else.")
    .helpCommand(false)
    .usage('<command>')
    .argument('[VERB]')
    .action((verb?: string) => {
      const problem = verb === undefined ? 'server needs to know what to do.' : `There is no command "server ${verb}".`;
      throw usage(problem, `One of: ${typedBelow(server, 'revtun-setup server')}`);
    });
  const changing = fields('dryRun', 'yes', 'json', 'quiet');
  // What only looks has nothing to ask and nothing to leave undone: a script may say so all the same.
  const looking = fields('json', 'quiet', 'yes', 'dryRun');

  withFields(server.command('setup'), changing)
    .argument('<DEST>', DEST)
    .summary('once for each server: make it ready for devices')
    .action(async (dest: string, _options, command: Command) => {
      const { context, draftOf } = session();
      const { serverSetup } = await import('../commands/server/setup.ts');
      await serverSetup(context, readDestination(dest), await draftOf(command));
    });

  withFields(server.command('add'), [...fields('remotePort', 'acceptRisk'), ...changing])
    .argument('<DEVICE>', 'what to call the device')
    .argument('<DEST>', DEST)
    .addOption(keyOption().helpGroup('Server and key:'))
    .addOption(bindOption().helpGroup('What to forward:'))
    .summary('admit one device to one port, and print what its install needs')
    .action(async (device: string, dest: string, flags: DeviceFlags, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      const wish = wishOf(context, device, flags, draft);
      const { serverAdd } = await import('../commands/server/add.ts');
      await serverAdd(context, readDestination(dest), wish, draft);
    });

  withFields(server.command('list'), looking)
    .argument('<DEST>', DEST)
    .summary('devices, their ports, connected or not, since when, from where')
    .action(async (dest: string) => {
      const { context } = session();
      const { serverList } = await import('../commands/server/list.ts');
      await serverList(context, readDestination(dest));
    });

  withFields(server.command('remove'), changing)
    .argument('<DEVICE|DEST>', 'which device; with --all only DEST')
    .argument('[DEST]', DEST)
    .option('--all', 'every device, and all that setup made')
    .summary('revoke: the key goes, and its session is ended')
    .action(async (first: string, second: string | undefined, { all }: { all?: boolean }, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      const { serverRemove, serverRemoveAll } = await import('../commands/server/remove.ts');
      if (all === true) {
        if (second !== undefined) throw usage('--all and DEVICE exclude each other.', 'Say one of them.');
        return serverRemoveAll(context, readDestination(first), draft);
      }
      if (second === undefined) throw usage('Which device, and on which server?', 'revtun-setup server remove DEVICE DEST, or --all DEST');
      return serverRemove(context, readDestination(second), read('DEVICE', first, parseDeviceName), draft);
    });

  withFields(server.command('check'), looking)
    .argument('<DEST>', DEST)
    .summary('what devices will meet: whose settings win, and what is in the way')
    .action(async (dest: string) => {
      const { context } = session();
      const { serverCheck } = await import('../commands/server/check.ts');
      await serverCheck(context, readDestination(dest));
    });

  addServerScriptCommands(server, session);
}
