import type { Command } from 'commander';
import { usage } from '../errors.ts';
import { fieldOf } from '../input/fields.ts';
import { bindOption, type DeviceFlags, keyOption, wishOf } from './deviceFlags.ts';
import { withFields } from './flags.ts';
import type { Session } from './session.ts';
import { typedBelow } from './words.ts';

/** `revtun-setup server script …`: for those who want to read it first, or have no ssh from here. */
export function addServerScriptCommands(server: Command, session: () => Session): void {
  const script = withFields(server.command('script'), [])
    .summary('setup or add as a sh script on stdout, to be read first and run on the server')
    .helpCommand(false)
    .usage('<command>')
    .argument('[VERB]')
    .action(() => {
      throw usage('server script needs to know what to write.', `One of: ${typedBelow(script, 'revtun-setup server script')}`);
    });
  const selinuxFlag = ['--selinux', 'for a server where SELinux enforces (getenforce tells)'] as const;

  withFields(script.command('setup'), [fieldOf('json')])
    .option('--inline', 'for an sshd_config without an Include of sshd_config.d')
    .option('--old-openssh', 'for an sshd older than 9.2 (Debian 11, Ubuntu 22.04; ssh -V tells)')
    .option(...selinuxFlag)
    .summary('make the server ready for devices')
    .description('Make the server ready for devices: a sh script for it on stdout. Before it changes anything it looks whether the server is as these flags say, and names the one that is wrong or missing.')
    .action(async ({ inline = false, oldOpenssh: old = false, selinux = false }: { inline?: boolean; oldOpenssh?: boolean; selinux?: boolean }) => {
      const { context } = session();
      const { serverScriptSetup } = await import('../commands/server/script.ts');
      serverScriptSetup(context, { inline, old, selinux });
    });

  withFields(script.command('add'), [fieldOf('remotePort'), fieldOf('acceptRisk'), fieldOf('json')])
    .argument('<DEVICE>', 'what to call the device')
    .addOption(keyOption())
    .addOption(bindOption())
    .option('--uid <N>', 'user id of its account, where the script says that the one made of its name is taken')
    .option(...selinuxFlag)
    .summary('admit one device to one port; prints what its install needs')
    .action(async (device: string, { uid, selinux = false, ...flags }: DeviceFlags & { uid?: string; selinux?: boolean }, command: Command) => {
      const { context, draftOf } = session();
      const wish = wishOf(context, device, flags, await draftOf(command));
      const { serverScriptAdd } = await import('../commands/server/script.ts');
      await serverScriptAdd(context, wish, selinux, uid);
    });
}
