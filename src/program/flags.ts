import { type Command, Option } from 'commander';
import type { Given } from '../input/draft.ts';
import { type Draft, type Field, FIELDS, isSwitch } from '../input/fields.ts';

const TITLES: Readonly<Record<Field['group'], string>> = {
  server: 'Server and key:', forwards: 'What to forward:', trust: 'Trust:', service: 'Service:', run: 'This run:',
};

/** Gives a command the flags of these fields. */
export function withFields(command: Command, fields: readonly Field[]): Command {
  for (const field of fields) {
    const option = new Option(field.flags, field.help).helpGroup(TITLES[field.group]);
    if (!isSwitch(field)) option.argParser((text: string, before: readonly string[] | undefined) => [...(before ?? []), text]);
    command.addOption(option);
  }
  return command.exitOverride().configureOutput({ outputError: () => undefined }).showSuggestionAfterError();
}

/** These fields, in the order of their table. */
export const only = (...keys: (keyof Draft)[]) => FIELDS.filter(({ key }) => keys.includes(key));

/** Texts of the flags that stand on the command line. */
export function givenFlags(command: Command): ReadonlyMap<Field, Given> {
  const given = new Map<Field, Given>();
  for (const { field, option } of flagsOf(command)) {
    const name = option.attributeName();
    if (command.getOptionValueSource(name) !== 'cli') continue;
    given.set(field, { from: option.long ?? option.flags, texts: isSwitch(field) ? [] : command.getOptionValue(name) as string[] });
  }
  return given;
}

/** The fields that a command has flags for: what the environment says of others is not meant for it. */
export const fieldsOf = (command: Command): readonly Field[] => flagsOf(command).map(({ field }) => field);

const flagsOf = ({ options }: Command) => options.flatMap((option) => {
  const field = FIELDS.find(({ flags }) => flags === option.flags);
  return field ? [{ field, option }] : [];
});
