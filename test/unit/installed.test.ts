import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import { chmodSync, mkdirSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { local } from '../../src/machine/local.ts';
import type { Identity } from '../../src/machine/machine.ts';
import { isOurs } from '../../src/template.ts';
import type { Tunnel } from '../../src/tunnel/tunnel.ts';
import { findInstalled } from '../../src/unit/installed.ts';
import { placesOf, tunnelName, unitName } from '../../src/unit/places.ts';
import { renderUnit } from '../../src/unit/render.ts';
import { freshFolder } from '../lab/paths.ts';
import * as arbitrary from '../tunnel/arbitrary.ts';
import { exampleTunnel } from '../tunnel/example.ts';

const tunnel = exampleTunnel({ scope: 'user' });
let who: Identity;
let directory: string;
beforeAll(() => {
  who = { uid: 1000, userName: 'ann', home: freshFolder(), env: {} };
  directory = placesOf('user', 'x', who.home).unitDirectory;
});
beforeEach(() => {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
});
afterAll(() => rmSync(who.home, { recursive: true }));

const find = () => findInstalled(local, 'user', who);
const put = (name: string, content: string) => writeFileSync(join(directory, name), content);
const unitOf = (one: Tunnel, lingering = false) => renderUnit(one, placesOf('user', one.name, who.home), { lingering, namespaces: true });

test('places of the two scopes', () => {
  expect(placesOf('system', 'home', '/root')).toEqual({
    unitDirectory: '/etc/systemd/system', ours: '/etc/revtun', unit: 'revtun-home.service', unitFile: '/etc/systemd/system/revtun-home.service',
    directory: '/etc/revtun/home', sshConfig: '/etc/revtun/home/ssh_config', knownHosts: '/etc/revtun/home/known_hosts', generatedKey: '/etc/revtun/home/key',
    notice: {
      script: '/etc/revtun/home/notice', service: 'revtun-notice@home.service', serviceFile: '/etc/systemd/system/revtun-notice@home.service',
      path: 'revtun-notice@home.path', pathFile: '/etc/systemd/system/revtun-notice@home.path',
    },
  });
  expect(placesOf('user', 'home', '/home/ann')).toEqual({
    unitDirectory: '/home/ann/.config/systemd/user', ours: '/home/ann/.config/revtun', unit: 'revtun-home.service', unitFile: '/home/ann/.config/systemd/user/revtun-home.service',
    directory: '/home/ann/.config/revtun/home', sshConfig: '/home/ann/.config/revtun/home/ssh_config', knownHosts: '/home/ann/.config/revtun/home/known_hosts',
    generatedKey: '/home/ann/.config/revtun/home/key',
    notice: {
      script: '/home/ann/.config/revtun/home/notice', service: 'revtun-notice@home.service', serviceFile: '/home/ann/.config/systemd/user/revtun-notice@home.service',
      path: 'revtun-notice@home.path', pathFile: '/home/ann/.config/systemd/user/revtun-notice@home.path',
    },
  });
});

test('every name makes a unit name, and comes back from it', () => {
  fc.assert(fc.property(arbitrary.name, (name) => {
    expect(tunnelName(unitName(name))).toBe(name);
  }));
});

test.each(['home.service', 'revtun-.service', 'revtun-home.socket', 'revtun-home.service.d', 'revtun-home', 'xrevtun-home.service', 'revtun-notice@home.service', 'revtun-notice@home.path'])('%s is no unit of ours by name', (unit) => {
  expect(tunnelName(unit)).toBeUndefined();
});

describe('on the machine', () => {
  test('nothing is found where nothing is', async () => {
    rmSync(directory, { recursive: true });
    expect(await find()).toEqual([]);
  });

  test('units of ours are found in order, with what they record', async () => {
    put('revtun-b.service', unitOf({ ...tunnel, name: 'b' }, true));
    put('revtun-a.service', unitOf({ ...tunnel, name: 'a' }));
    expect(await find()).toEqual([
      { name: 'a', scope: 'user', places: placesOf('user', 'a', who.home), tunnel: { ...tunnel, name: 'a' }, lingering: false },
      { name: 'b', scope: 'user', places: placesOf('user', 'b', who.home), tunnel: { ...tunnel, name: 'b' }, lingering: true },
    ]);
  });

  test('what is not ours is not found', async () => {
    put('revtun-theirs.service', '[Unit]\n# Written by revtun-setup, they say\n');
    put('other.service', unitOf(tunnel));
    mkdirSync(join(directory, 'revtun-folder.service'));
    mkdirSync(join(directory, 'revtun-home.service.d'));
    put('real', unitOf(tunnel));
    symlinkSync(join(directory, 'real'), join(directory, 'revtun-link.service'));
    expect(await find()).toEqual([]);
  });

  test.each<[string, (text: string) => string]>([
    ['is cut off', (text) => text.slice(0, text.indexOf('[X-Revtun]'))],
    ['lacks its host', (text) => text.replace(/^Host=.*\n/m, '')],
    ['has a port that is none', (text) => text.replace(/^Port=.*$/m, 'Port=x')],
    ['has a host that is an option', (text) => text.replace(/^Host=.*$/m, 'Host=-oProxyCommand=x')],
  ])('a record that %s is a unit of ours all the same', async (_, damage) => {
    put('revtun-home.service', damage(unitOf(tunnel)));
    expect(await find()).toMatchObject([{ name: 'home', tunnel: undefined }]);
  });

  test('lingering that is not said to be ours is not', async () => {
    put('revtun-home.service', unitOf(tunnel, true).replace('Lingering=yes', 'Lingering=no'));
    expect(await find()).toMatchObject([{ lingering: false }]);
  });

  test('a unit that may not be read is there, and not absent', async () => {
    put('revtun-home.service', unitOf(tunnel));
    chmodSync(join(directory, 'revtun-home.service'), 0);
    const denied = { ...local, read: () => Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' })) };
    expect(await findInstalled(denied, 'user', who)).toEqual([{ name: 'home', scope: 'user', places: placesOf('user', 'home', who.home), tunnel: undefined, hidden: true, lingering: false }]);
    const broken = { ...local, read: () => Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' })) };
    await expect(findInstalled(broken, 'user', who)).rejects.toThrow('EIO');
  });

  test('every tunnel comes back from its unit', () => {
    return fc.assert(fc.asyncProperty(arbitrary.tunnelOf('user'), fc.boolean(), async (one, lingering) => {
      const unit = unitOf(one, lingering);
      expect(isOurs(unit)).toBe(true);
      const machine = { ...local, list: async () => [unitName(one.name)], stat: async () => ({ kind: 'file', mode: 0o644, uid: 0, gid: 0, size: 1 } as const), read: async () => Buffer.from(unit) };
      expect(await findInstalled(machine, 'user', who)).toMatchObject([{ name: one.name, tunnel: one, lingering }]);
    }), { numRuns: 500 });
  });
});
