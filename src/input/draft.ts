import { InvalidValue, usage } from '../errors.ts';
import { type Draft, type Field, FIELDS, flagOf, isSwitch, type ParseContext, variableOf } from './fields.ts';

/** Texts that were given for a field, and the flag or variable they came from. */
export interface Given {
  readonly from: string;
  readonly texts: readonly string[];
}

export type Givens = ReadonlyMap<Field, Given>;

/** Whether a variable switches something on: anything but nothing, 0, no and false. */
export const isSet = (text: string | undefined) => !/^(0|no|false|)$/i.test(text?.trim() ?? '');

/** What the environment says of these fields; an empty variable says nothing. */
export function fromEnvironment(env: Readonly<Record<string, string | undefined>>, fields = FIELDS): Givens {
  const given = new Map<Field, Given>();
  for (const field of fields) {
    const from = variableOf(field);
    const text = env[from]?.trim() ?? '';
    if (text === '') continue;
    if (isSwitch(field) && !isSet(text)) continue;
    given.set(field, { from, texts: field.many ? text.split(/\s+/) : [text] });
  }
  return given;
}

/**
 * Parses what was given; a flag wins over a variable.
 * @throws ExpectedError (usage) with every problem in one message, each naming where it came from
 */
export function readDraft(context: ParseContext, environment: Givens, flags: Givens): Draft {
  const problems: string[] = [];
  const draft: Record<string, unknown> = {};
  for (const [field, { from, texts }] of new Map([...withoutOverruled(environment, flags), ...flags])) {
    try {
      draft[field.key] = parseField(field, texts, context);
    } catch (error) {
      if (!(error instanceof InvalidValue)) throw error;
      problems.push(`${from}: ${error.message}`);
    }
  }
  problems.push(...contradictions(draft as Draft));
  if (problems.length > 0) throw usage(problems.join('\n'), 'See revtun-setup --help.');
  return draft as Draft;
}

function parseField(field: Field, texts: readonly string[], context: ParseContext): unknown {
  const { parse } = field;
  if (parse === undefined) return true;
  const values = texts.map((text) => {
    if (text.startsWith('-')) throw new InvalidValue(`needs a value, but is followed by ${text}`);
    if (text.includes('\0')) throw new InvalidValue('contains a NUL');
    return parse(text, context);
  });
  if (!field.many) {
    if (values.length > 1) throw new InvalidValue('is given more than once');
    return values[0];
  }
  if (values.includes('none') && values.length > 1) throw new InvalidValue('"none" cannot stand beside others');
  return values.filter((value) => value !== 'none');
}

/** Fields of which only one can be meant. */
const ALTERNATIVES: readonly (readonly (keyof Draft)[])[] = [
  ['key', 'generateKey'],
  ['knownHosts', 'acceptNewHostKey'],
  ['hostKey', 'acceptNewHostKey'],
  ['hostKey', 'knownHosts'],
  ...(['host', 'user', 'port', 'jump', 'hostKey', 'knownHosts', 'acceptNewHostKey', 'remoteForward', 'localForward', 'dynamicForward'] as const).map((key) => ['serverAdmin', key] as const),
];

/** A flag overrules a variable also where the two exclude each other. */
function withoutOverruled(environment: Givens, flags: Givens): Givens {
  const said = new Set([...flags.keys()].map(({ key }) => key));
  return new Map([...environment].filter(([{ key }]) => !ALTERNATIVES.some((keys) => keys.includes(key) && keys.some((other) => other !== key && said.has(other)))));
}

function contradictions(draft: Draft): string[] {
  const flag = (key: keyof Draft) => flagOf(FIELDS.find((field) => field.key === key)!);
  const found = ALTERNATIVES.filter((keys) => keys.every((key) => draft[key] !== undefined)).map(
    (keys) => `${keys.map(flag).join(' and ')} exclude each other`,
  );
  for (const part of ['user', 'port'] as const) {
    const inHost = draft.host?.[part];
    if (inHost !== undefined && draft[part] !== undefined && draft[part] !== inHost) {
      found.push(`--host says ${part} ${inHost}, but --${part} says ${draft[part]}`);
    }
  }
  if (draft.device !== undefined && draft.serverAdmin === undefined) found.push('--device: only together with --server-admin');
  if (draft.remotePort === undefined && draft.serverAdmin === undefined) {
    const idle = (['bind', 'localHost', 'localPort'] as const).filter((key) => draft[key] !== undefined);
    if (idle.length > 0) found.push(`${idle.map(flag).join(', ')}: only together with --remote-port`);
  }
  return found;
}
