import type { Command } from 'commander';
import { type Field, FIELDS } from '../input/fields.ts';
import { only, withFields } from './flags.ts';
import type { Session } from './session.ts';

/** What can be tried before anything is installed. */
export function addPreviewCommands(program: Command, session: () => Session): void {
  withFields(program.command('render'), FIELDS.filter(saysTunnel).concat(only('json', 'quiet')))
    .argument('[NAME]', 'what to call the tunnel')
    .option('--output <DIR>', 'write them there instead')
    .summary('print the files that install would write; touches nothing')
    .action(async (name: string | undefined, { output: directory }: { output?: string }, command: Command) => {
      const { context, draftOf } = session();
      const draft = await draftOf(command, name);
      const { render } = await import('../commands/render.ts');
      await render(context, directory ?? (context.who.env['REVTUN_OUTPUT'] || undefined), draft);
    });

  withFields(program.command('demo'), only('json', 'quiet'))
    .summary('show it all on this machine: no server, no root, nothing left behind')
    .action(async () => {
      const { context } = session();
      const { demo } = await import('../commands/demo/demo.ts');
      await demo(context);
    });
}

/** Of the server's end there are no files here: it can only be made. */
const saysTunnel = ({ group, key }: Field) => group !== 'run' && key !== 'serverAdmin' && key !== 'device';
