import { type Command, Option } from 'commander';
import type { Context } from './commands/context.ts';
import type { AddWish } from './commands/server/add.ts';
import { InvalidValue, usage } from './errors.ts';
import { type Draft, type Field, fieldOf } from './input/fields.ts';
import { parseDeviceName } from './server/device.ts';
import { type Destination, parseDestination } from './tunnel/destination.ts';

/** What the rest of the command line lends to this branch of it. */
export interface Branch {
  readonly context: Context;
  readonly draftOf: (command: Command) => Promise<Draft>;
  readonly withFields: (command: Command, fields: readonly Field[]) => Command;
}

export const SERVER_COMMANDS: readonly string[] = ['setup', 'add', 'list', 'remove', 'check', 'script'];

const DEST = 'the server, [USER@]HOST[:PORT], with root or sudo there';

/** `revtun-setup server …`: the server's end, for who administers it. */
export function addServerCommands(program: Command, branch: Branch): void {
  const { context, draftOf, withFields } = branch;
  const server = withFields(program.command('server'), [])
    .summary("the server's end: accounts that can hold one port open and nothing else")
    .description("Sets up, checks, lists and revokes the server's end, over plain ssh: accounts that can each hold one port open and nothing else.")
    .helpCommand(false)
    .usage('<command>')
    .argument('[VERB]')
    .action((verb?: string) => {
      throw usage(verb === undefined ? 'server needs to know what to do.' : `There is no command "server ${verb}".`, `One of: ${SERVER_COMMANDS.map((name) => `revtun-setup server ${name}`).join(', ')}`);
    });
  const fields = (...keys: (keyof Draft)[]) => keys.map(fieldOf);
  const changing = fields('dryRun', 'yes', 'json', 'quiet');
  // What only looks has nothing to ask and nothing to leave undone: a script may say so all the same.
  const looking = fields('json', 'quiet', 'yes', 'dryRun');

  withFields(server.command('setup'), changing)
    .argument('<DEST>', DEST)
    .summary('once for each server: make it ready for devices')
    .action(async (dest: string, _options, command: Command) => {
      const { serverSetup } = await import('./commands/server/setup.ts');
      await serverSetup(context, readDestination(dest), await draftOf(command));
    });

  withFields(server.command('add'), [...fields('remotePort', 'acceptRisk'), ...changing])
    .argument('<DEVICE>', 'what to call the device')
    .argument('<DEST>', DEST)
    .addOption(new Option('--key <FILE.pub>', "the public half of the device's key").helpGroup('Server and key:'))
    .addOption(new Option('--bind <ADDR>', 'where the port listens (default 127.0.0.1; * = everyone)').helpGroup('What to forward:'))
    .summary('admit one device to one port, and print what its install needs')
    .action(async (device: string, dest: string, { key, bind }: { key?: string; bind?: string }, command: Command) => {
      const draft = await draftOf(command);
      const wish = wishOf(context, device, key, bind, draft);
      const { serverAdd } = await import('./commands/server/add.ts');
      await serverAdd(context, readDestination(dest), wish, draft);
    });

  withFields(server.command('list'), looking)
    .argument('<DEST>', DEST)
    .summary('devices, their ports, connected or not, since when, from where')
    .action(async (dest: string) => {
      const { serverList } = await import('./commands/server/list.ts');
      await serverList(context, readDestination(dest));
    });

  withFields(server.command('remove'), changing)
    .argument('<DEVICE|DEST>', 'which device; with --all only DEST')
    .argument('[DEST]', DEST)
    .option('--all', 'every device, and all that setup made')
    .summary('revoke: the key goes, and its session is ended')
    .action(async (first: string, second: string | undefined, { all }: { all?: boolean }, command: Command) => {
      const draft = await draftOf(command);
      const { serverRemove, serverRemoveAll } = await import('./commands/server/remove.ts');
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
      const { serverCheck } = await import('./commands/server/check.ts');
      await serverCheck(context, readDestination(dest));
    });

  addScripts(withFields(server.command('script'), []).summary('setup or add as a sh script on stdout, to be read first and run on the server'), branch);
}

/** For those who want to read it first, or have no ssh from here. */
function addScripts(script: Command, { context, draftOf, withFields }: Branch): void {
  script.helpCommand(false).usage('<command>').argument('[VERB]').action(() => {
    throw usage('server script needs to know what to write.', 'One of: revtun-setup server script setup, revtun-setup server script add');
  });
  const selinuxFlag = ['--selinux', 'for a server where SELinux enforces'] as const;

  withFields(script.command('setup'), [fieldOf('json')])
    .option('--inline', 'for a sshd_config that does not include sshd_config.d')
    .option('--old-openssh', 'for an sshd older than 9.2')
    .option(...selinuxFlag)
    .summary('make the server ready for devices')
    .action(async ({ inline = false, oldOpenssh: old = false, selinux = false }: { inline?: boolean; oldOpenssh?: boolean; selinux?: boolean }) => {
      const { serverScriptSetup } = await import('./commands/server/script.ts');
      serverScriptSetup(context, { inline, old, selinux });
    });

  withFields(script.command('add'), [fieldOf('remotePort'), fieldOf('acceptRisk'), fieldOf('json')])
    .argument('<DEVICE>', 'what to call the device')
    .option('--key <FILE.pub>', "the public half of the device's key")
    .option('--bind <ADDR>', 'where the port listens (default 127.0.0.1; * = everyone)')
    .option('--uid <N>', 'user id of its account (default: after its name)')
    .option(...selinuxFlag)
    .summary('admit one device to one port; prints what its install needs')
    .action(async (device: string, { key, bind, uid, selinux = false }: { key?: string; bind?: string; uid?: string; selinux?: boolean }, command: Command) => {
      const wish = wishOf(context, device, key, bind, await draftOf(command));
      const { serverScriptAdd } = await import('./commands/server/script.ts');
      await serverScriptAdd(context, wish, selinux, uid);
    });
}

/** What is asked for of `add`, with every value read. */
function wishOf({ cwd, who }: Context, device: string, key: string | undefined, bind: string | undefined, draft: Draft): AddWish {
  if (key === undefined) throw usage("--key is missing: the public half of the device's key, a file that ends in .pub.", 'To make one on the device: ssh-keygen -t ed25519');
  const home = { cwd, home: who.home };
  return {
    name: read('DEVICE', device, parseDeviceName),
    keyFile: read('--key', key, (text) => fieldOf('key').parse!(text, home) as string),
    ...(draft.remotePort !== undefined && { port: draft.remotePort }),
    ...(bind !== undefined && { bind: read('--bind', bind, (text) => fieldOf('bind').parse!(text, home) as string) }),
    ...(draft.acceptRisk && { acceptRisk: draft.acceptRisk }),
  };
}

const readDestination = (text: string): Destination => read('DEST', text, parseDestination);

function read<T>(from: string, text: string, parse: (text: string) => T): T {
  try {
    return parse(text);
  } catch (error) {
    if (error instanceof InvalidValue) throw usage(`${from}: ${error.message}`, 'See revtun-setup server --help.');
    throw error;
  }
}
