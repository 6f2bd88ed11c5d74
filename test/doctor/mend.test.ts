import { describe, expect, test } from '@jest/globals';
import { planMending } from '../../src/doctor/mend.ts';
import { titleOf } from '../../src/plan/step.ts';
import { exampleTunnel } from '../tunnel/example.ts';
import { ann, type Known, patientOf, shows } from './patients.ts';

const UNIT = '/etc/systemd/system/revtun-home.service';
const [CONFIG, KNOWN_HOSTS] = ['/etc/revtun/home/ssh_config', '/etc/revtun/home/known_hosts'];
const FORMER = '/etc/revtun/home/revtun-home.service.former';
const MASK = '/run/systemd/system.control/revtun-home.service';
const KEY = '/root/.ssh/id_ed25519';

const there: Known = { files: { '/etc/revtun': { kind: 'directory', mode: 0o755 }, '/etc/revtun/home': { kind: 'directory', mode: 0o755 } } };
const plan = async (known: Known, options?: Parameters<typeof patientOf>[1]) => {
  const { steps, cuts } = await planMending(patientOf({ files: { ...there.files, ...known.files }, says: { ...known.says } }, options));
  return { cuts, titles: steps.map(titleOf).filter((title) => title !== undefined) };
};
const systemd = (changes: Record<string, string>): NonNullable<Known['says']> => ({ 'systemctl show': shows(changes) });
const unit = async () => String(await patientOf().machine.read(UNIT));
const STOPPED = { ActiveState: 'inactive', SubState: 'dead' };
const restart = 'restart: systemctl restart -- revtun-home.service';
const start = 'start: systemctl start -- revtun-home.service';

describe('the steps that mend', () => {
  test('a tunnel that is well: none', async () => {
    expect(await plan({})).toEqual({ titles: [], cuts: false });
  });

  test.each<[string, Known, readonly string[], boolean]>([
    ['a stopped service', { says: systemd(STOPPED) }, [start], false],
    ['one that gave up', { says: systemd({ ActiveState: 'failed' }) }, ['forget its failure: systemctl reset-failed -- revtun-home.service', start], false],
    ['one that is not started at boot', { says: systemd({ UnitFileState: 'disabled' }) }, ['start at boot: systemctl enable -- revtun-home.service'], false],
    ['a file that was not read', { says: systemd({ NeedDaemonReload: 'yes' }) }, ['have systemd read it: systemctl daemon-reload', restart], true],
    ['one that tries', { says: systemd({ ActiveState: 'activating', SubState: 'auto-restart' }) }, [], false],
    ['an ssh_config that is gone', { files: { [CONFIG]: undefined as never } }, [`write ${CONFIG}`, restart], true],
    ['a missing user', { says: { 'getent passwd': { code: 2 }, ...systemd(STOPPED) } }, [expect.stringContaining('useradd') as never, start], false],
    ['a key for all to read', { files: { [KEY]: { content: 'x', mode: 0o644 } }, says: { 'ssh-keygen -y': { code: 1, stderr: 'UNPROTECTED PRIVATE KEY FILE' } } }, [`keep the key from others: chmod 600 -- ${KEY}`], false],
    ['a directory that the service cannot enter', { files: { '/etc/revtun': { kind: 'directory', mode: 0o700 } } }, ['let the service in: chmod a+rx -- /etc/revtun'], false],
    ['a mask beside the unit', { files: { [MASK]: { kind: 'symlink' } }, says: { ...systemd({ LoadState: 'masked' }), [`readlink -- ${MASK}`]: '/dev/null\n' } },
      ['take the mask away: rm -- /run/systemd/system.control/revtun-home.service', 'have systemd read it: systemctl daemon-reload'], false],
  ])('%s', async (_name, known, titles, cuts) => {
    expect(await plan(known)).toEqual({ titles, cuts });
  });

  test('a mask that is nowhere to be found: nothing is removed', async () => {
    expect((await plan({ says: { ...systemd({ LoadState: 'masked', FragmentPath: '/dev/null', ...STOPPED }), readlink: '/dev/null\n' } })).titles).toEqual([start]);
  });

  test('an altered unit is written anew; only its mode needs no restart', async () => {
    expect(await plan({ files: { [UNIT]: (await unit()).replace('Restart=always', 'Restart=no') } })).toEqual({ titles: [`write ${FORMER}`, `write ${UNIT}`, restart], cuts: true });
    expect(await plan({ files: { [UNIT]: { content: await unit(), mode: 0o666 } } })).toEqual({ titles: [`put its mode right: chmod 0644 -- ${UNIT}`], cuts: false });
  });

  test('what somebody wrote is kept, with its mode, before it is written over', async () => {
    const edited = `${await unit()}# mine\n`;
    const { steps } = await planMending(patientOf({ files: { ...there.files, [UNIT]: { content: edited, mode: 0o600 }, [CONFIG]: '# Written by revtun-setup\nmine\n' } }));
    const writes = steps.filter((step) => step.kind === 'write');
    expect(writes.map(({ path }) => path)).toEqual([`${CONFIG}.former`, CONFIG, FORMER, UNIT]);
    expect(writes[2]).toEqual({ kind: 'write', path: FORMER, content: edited, mode: 0o600 });
  });

  test.each<[string, Known]>([
    ['without a key', { files: { [KEY]: undefined as never } }],
    ['with a locked key', { says: { 'ssh-keygen -y': { code: 255, stderr: 'incorrect passphrase' } } }],
    ['without pinned host keys', { files: { [KNOWN_HOSTS]: undefined as never } }],
    ['with the host key of another', { files: { [KNOWN_HOSTS]: '# Written by revtun-setup for home\nother.test ssh-ed25519 AAAA\n' } }],
  ])('a tunnel that is up %s is never restarted, and no host key is made up; what it reads at its next start is not written unasked', async (_name, known) => {
    const { titles, cuts } = await plan({ ...known, files: { ...known.files, [UNIT]: (await unit()).replace('Restart=always', 'Restart=no') } });
    expect(cuts).toBe(true);
    expect((await plan({ ...known, says: { ...known.says, ...systemd({ UnitFileState: 'disabled' }) } })).cuts).toBe(false);
    expect(titles).toContain(`write ${UNIT}`);
    expect(titles.filter((title) => title.includes('start:') || (title.includes('known_hosts') && known.files?.[KNOWN_HOSTS] === undefined))).toEqual([]);
  });

  test('lingering of a user that is off is tried, and told where it may not be', async () => {
    const tunnel = exampleTunnel({ scope: 'user', identityFile: '/home/ann/.ssh/id_ed25519' });
    const { titles } = await plan({ says: { 'env XDG_RUNTIME_DIR': shows({ User: '' }) } }, { tunnel, who: ann });
    expect(titles).toContain('keep it up after logout: loginctl enable-linger ann');
  });
});
