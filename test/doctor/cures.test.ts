import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { CATALOGUE } from '../../src/doctor/catalogue.ts';
import { cureFor } from '../../src/doctor/curesThere.ts';
import { failed } from '../../src/errors.ts';
import { type Givens, readDraft } from '../../src/input/draft.ts';
import { type Field, FIELDS, isSwitch } from '../../src/input/fields.ts';
import { wantedTunnel } from '../../src/input/wanted.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { placesOf } from '../../src/unit/places.ts';
import { type Caller, makeCaller } from '../input/caller.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';
import { patientOf } from './patients.ts';

let caller: Caller;
beforeAll(() => {
  caller = makeCaller();
});
afterAll(() => caller.dispose());

/** What a person puts in the place of a word in capitals. */
const FILLED: Readonly<Record<string, string>> = {
  PORT: '20002', N: '20002', HOST: 'h.example.com', NAME: 'h.example.com', ADDRESS: '192.0.2.1', HOSTPORT: '80', PATH: '/root/other',
  'SHA256:…': 'SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU', 'PORT:HOST:HOSTPORT': '8081:h.example.com:80',
};

/** Flags as they are typed, each alone or with its value. */
function givensOf(words: readonly string[]): Givens {
  const givens = new Map<Field, { from: string; texts: string[] }>();
  for (let at = 0; at < words.length; at += 1) {
    const [flag, joined] = words[at]!.split('=') as [string, string?];
    const field = FIELDS.find(({ flags }) => flags.split(/[ ,|]+/).includes(flag));
    if (!field) throw new Error(`there is no ${flag}`);
    const value = joined ?? words[at + 1]?.replaceAll("'", '').replace(/\.$/, '') ?? '';
    if (joined === undefined && !isSwitch(field)) at += 1;
    givens.set(field, { from: flag, texts: [...(givens.get(field)?.texts ?? []), ...(isSwitch(field) ? [] : [FILLED[value] ?? value])] });
  }
  return givens;
}

/** What the program makes of the flags behind "install NAME" where that tunnel is installed. */
async function typed(flags: string, tunnel: Tunnel): Promise<Tunnel> {
  const draft = readDraft({ cwd: '/', home: '/root' }, new Map(), givensOf(flags.trim().split(/\s+/)));
  const places = placesOf('system', tunnel.name, '/root');
  const installed = { name: tunnel.name, scope: 'system', places, tunnel, lingering: false } as const;
  return (await wantedTunnel({ name: tunnel.name, ...draft }, installed, caller.machine, { who: { ...caller.who, uid: 0 }, aes: false })).tunnel;
}

const flagsIn = (cure: string, name: string) =>
  [...cure.matchAll(new RegExp(`revtun-setup install ${name}((?: -[^\\s;,)]+(?: (?:SHA256:…|'[^']*'|[^-\\s;,)]+))?)+)`, 'g'))].map(([, flags]) => flags!);

describe('a command in a cure is one that changes the installed tunnel as it says:', () => {
  // "--host … --remote-port …" stands for all of the flags.
  const explained = Object.entries(CATALOGUE).flatMap(([id, { cure }]) => flagsIn(cure, 'NAME').map((flags) => [id, flags] as const)).filter(([, flags]) => !flags.includes(' …'));
  test('there are many', () => { expect(explained.length).toBeGreaterThan(15); });

  test.each(explained)('%s explains:%s', async (_id, flags) => {
    expect(await typed(flags, exampleTunnel())).toMatchObject({ name: 'home' });
  });

  test.each(Object.keys(CATALOGUE).flatMap((id) => flagsIn(cureFor(patientOf(), 'x', failed(id, 'm')).cure ?? '', 'home').map((flags) => [id, flags] as const)))('%s prints:%s', async (_id, flags) => {
    expect(await typed(flags, exampleTunnel())).toMatchObject({ name: 'home' });
  });
});

test('what was accepted once is accepted by the command that changes something else', () => {
  const patient = patientOf({}, { tunnel: exampleTunnel({ forwards: forwards('-R *:22222:localhost:22') }) });
  expect(cureFor(patient, 'forward', failed('port-taken', 'm')).cure).toMatch(/install home --remote-port PORT --accept-risk=public$/);
});
