import { Command } from 'commander';
import { version } from '../package.ts';
import { addLookCommands } from './lookCommands.ts';
import { addPreviewCommands } from './previewCommands.ts';
import { addServerCommands } from './serverCommands.ts';
import type { Session } from './session.ts';
import { addTunnelCommands } from './tunnelCommands.ts';

/**
 * Every command with its arguments, flags and help, in the order in which --help lists them.
 * @param session called only by a command that runs
 */
export function commandTree(session: () => Session): Command {
  const program = new Command('revtun-setup')
    .description('Makes this machine reachable through a server, for good: an ssh reverse tunnel as a systemd service, proven to work.')
    .version(version(), '-V, --version')
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError()
    .helpCommand(false)
    .addHelpText('after', HELP_AFTER);
  addTunnelCommands(program, session);
  addLookCommands(program, session);
  addPreviewCommands(program, session);
  addServerCommands(program, session);
  return program;
}

const HELP_AFTER = `
Flags of install are also environment variables: --remote-port is
REVTUN_REMOTE_PORT.
Exit codes: 0 done or nothing to do, 1 failed and undone, 2 wrong input, 3 no
such tunnel or not running, 4 a person is needed, 130 cancelled.

  revtun-setup                                   a wizard asks for everything
  revtun-setup --host pi@tunl.example.com --remote-port 22222
  revtun-setup install home -- ssh -NTR 22222:localhost:22 tunl.example.com
  revtun-setup uninstall home
`;
