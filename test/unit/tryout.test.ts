import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { local } from '../../src/machine/local.ts';
import { placesOf } from '../../src/unit/places.ts';
import { renderUnit } from '../../src/unit/render.ts';
import { forwardsOnTrial, tryoutPlaces } from '../../src/unit/tryout.ts';
import { exampleTunnel, forwards } from '../tunnel/example.ts';

const folder = mkdtempSync(join(tmpdir(), 'revtun-former-'));
afterAll(() => rmSync(folder, { recursive: true }));

test('what a tunnel on trial forwards is asked of its former unit as well', async () => {
  const places = placesOf('user', 'home', folder);
  const { directory, formerUnit } = tryoutPlaces('home', places);
  const [former, now] = [forwards('-R 22222:nas:22'), forwards('-R 22223:localhost:22')].map((some) => exampleTunnel({ scope: 'user', forwards: some })) as [ReturnType<typeof exampleTunnel>, ReturnType<typeof exampleTunnel>];
  const ask = () => forwardsOnTrial(local, { name: 'home', scope: 'user', places, tunnel: now });
  expect(await ask()).toBeUndefined();
  mkdirSync(directory, { recursive: true });
  writeFileSync(formerUnit, renderUnit(former, places, { lingering: false, namespaces: true }));
  expect(await ask()).toEqual([...now.forwards, ...former.forwards]);
});
