import type { Command } from 'commander';
import { usage } from '../errors.ts';
import { FIELDS } from '../input/fields.ts';
import { only, withFields } from './flags.ts';
import type { Session } from './session.ts';
import { readName } from './values.ts';
import { mistyped } from './words.ts';

/** What makes, changes and removes tunnels of this machine. */
export function addTunnelCommands(program: Command, session: () => Session): void {
  withFields(program.command('install', { isDefault: true }), FIELDS)
    .argument('[NAME]', 'what to call the tunnel')
    .summary('plan, install, enable, start and verify one tunnel (the default)')
    .description('Install, enable, start and verify one tunnel. Without arguments on a terminal: a wizard.\nAn ssh command can be made permanent as it stands: revtun-setup install home -- ssh -NTR 22222:localhost:22 tunl.example.com')
    .action(async (name: string | undefined, _options, command: Command) => {
      const { context, draftOf, words, sshCommand } = session();
      const draft = await draftOf(command, name);
      if (name !== undefined && (draft.host ?? draft.serverAdmin) === undefined && !words.includes('install')) throw mistyped(program, name);
      const asksNothing = words.every((word) => word === 'install') && sshCommand === undefined;
      if (draft.wizard === true || (asksNothing && context.interactive)) {
        if (!context.interactive) throw usage('--wizard: there is no terminal to ask on.', 'Say it with flags: revtun-setup --help');
        const { wizard } = await import('../commands/wizard/wizard.ts');
        return wizard(context, draft);
      }
      if (draft.serverAdmin) {
        const { installBoth } = await import('../commands/install/both.ts');
        return installBoth(context, draft);
      }
      const { install } = await import('../commands/install/install.ts');
      return install(context, draft);
    });

  withFields(program.command('uninstall'), only('serverAdmin', 'scope', 'acceptRisk', 'dryRun', 'json', 'quiet', 'yes'))
    .argument('[NAME...]', 'which tunnels (default: the only one there is)')
    .option('--all', 'every tunnel of the scope')
    .summary('stop, disable and remove; says what it left on purpose')
    .action(async (names: string[], { all }: { all?: boolean }, command: Command) => {
      const { context, draftOf } = session();
      if (all === true && names.length > 0) throw usage('--all and NAME exclude each other.', 'Say one of them.');
      const draft = await draftOf(command);
      const meant = (names.length > 0 || all === true || draft.name === undefined ? names : [draft.name]).map((name) => readName(name));
      if (draft.serverAdmin) {
        const { uninstallBoth } = await import('../commands/install/uninstallBoth.ts');
        return uninstallBoth(context, meant, all === true, draft);
      }
      const { uninstall } = await import('../commands/install/uninstall.ts');
      return uninstall(context, meant, all === true, draft);
    });

  withFields(program.command('confirm'), only('scope', 'json', 'quiet'))
    .argument('[NAME]', 'which tunnel')
    .summary('keep a change of the tunnel that you came through')
    .description('Keep a change that was made through the tunnel itself. Unless it is confirmed in time (a minute, or the --confirm-within of that install), from a new login, the former tunnel comes back.')
    .action(async (name: string | undefined, _options, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command);
      const { confirm } = await import('../commands/install/confirm.ts');
      await confirm(context, name ?? draft.name, draft);
    });
}
