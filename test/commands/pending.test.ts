import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { readPending } from '../../src/commands/pending.ts';
import { local, whoAmI } from '../../src/machine/local.ts';
import { placesOf } from '../../src/unit/places.ts';
import { readTryout, type TryoutPlaces, tryoutPlaces } from '../../src/unit/tryout.ts';

const folder = mkdtempSync(join(tmpdir(), 'revtun-pending-'));
afterAll(() => rmSync(folder, { recursive: true }));

const TIME = '2026-01-02T03:04:05Z';
const WHOLE: readonly (keyof TryoutPlaces)[] = ['armed', 'restorerFile', 'until', 'complete'];

test.each<[string, readonly (keyof TryoutPlaces)[], unknown, boolean]>([
  ['is complete', WHOLE, { until: new Date(TIME), complete: true }, true],
  ['was cut off', ['armed', 'restorerFile', 'until'], { until: new Date(TIME), complete: false }, false],
  ['has no timer yet, or nothing to put back any more', ['restorerFile', 'until', 'complete'], 'left-over', false],
  ['has no unit any more', ['armed', 'until'], 'left-over', false],
])('a change that %s', async (_name, there, tryout, confirmable) => {
  const home = mkdtempSync(join(folder, 'home-'));
  const places = placesOf('user', 'home', home);
  const at = tryoutPlaces('home', places);
  for (const path of [at.directory, dirname(at.restorerFile)]) mkdirSync(path, { recursive: true });
  for (const name of there) writeFileSync(at[name], `${TIME}\n`);
  const who = { ...whoAmI(), home };
  expect(await readTryout(local, 'home', places)).toEqual(tryout);
  expect(await readPending({ machine: local, who }, { name: 'home', scope: 'user', places })).toEqual(
    confirmable ? { confirmBy: new Date(TIME).toISOString(), confirm: 'revtun-setup confirm home' } : undefined);
});
