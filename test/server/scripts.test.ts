import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { chmodSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { template } from '../../src/package.ts';
import { deviceScript, restoreScript } from '../../src/server/content.ts';
import { renderKeyFile } from '../../src/server/device.ts';
import { partsScript } from '../../src/server/parts.ts';
import { execute, succeed } from '../lab/child.ts';
import { freshFolder } from '../lab/paths.ts';
import { labIsUsable } from '../lab/requirements.ts';

const SHELLS = ['dash', 'bash --posix'];
const LOOKING = ['state', 'check', 'firewall'] as const;

const folder = freshFolder();
beforeAll(() => {
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'device'), deviceScript());
  writeFileSync(join(folder, 'reload'), template('server-reload.sh'));
  for (const name of LOOKING) writeFileSync(join(folder, name), partsScript(name));
  writeFileSync(join(folder, 'restore'), restoreScript(['/etc/ssh/sshd_config', "/etc/ssh/it's new", '/etc/ssh/link'], 'echo reload >>/run/reloads'));
  // The real one, a second long.
  writeFileSync(join(folder, 'hasty'), restoreScript(['/etc/ssh/sshd_config'], 'echo reload >>/run/reloads').replaceAll('sleep 60', 'sleep 2'));
  writeFileSync(join(folder, 'until'), 'n=0; until sh -c "$1" || [ $n -ge 100 ]; do sleep 0.1; n=$((n + 1)); done\n');
  writeFileSync(join(folder, 'helpless'), restoreScript(['/etc/ssh/sshd_config', '/etc/ssh/new'], 'false'));
});
afterAll(() => rmSync(folder, { recursive: true }));

test.each(['device', 'restore', 'reload', ...LOOKING])('shellcheck has nothing against the script: %s', async (name) => {
  const checked = await execute(['shellcheck', '-s', 'sh', join(folder, name)]);
  if (checked.code === 127 && process.env['CI'] === undefined) return;
  expect(checked).toMatchObject({ code: 0, stdout: '' });
});

/** Runs sh text where /run and /etc/ssh are its own, as root. $S is the shell to try, $D the folder with the scripts. */
async function inside(shell: string, text: string, env: Readonly<Record<string, string>> = {}): Promise<string> {
  const setUp = 'mount -t tmpfs -o mode=755 tmpfs /run && mount -t tmpfs -o mode=755 tmpfs /etc/ssh && cd / && ';
  return succeed(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', setUp + text], { env: { S: shell, D: folder, ...env } });
}

const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEMS/aFtFmvIxiNRYQx/f+vA+7+l9GVKkGVWXuYwLxVz';
const keyFile = renderKeyFile({ name: 'home', uid: 65_536, port: 22_222, bind: '127.0.0.1', publicKey: KEY });
const keyLine = keyFile.split('\n')[1]!;

(labIsUsable() ? describe : describe.skip).each(SHELLS)('in %s', (shell) => {
  describe('device admit', () => {
    beforeAll(() => writeFileSync(join(folder, 'key'), keyFile));
    const admit = (prepare: string, uid = '65536') =>
      inside(shell, `mkdir /etc/ssh/revtun && cp "$D/key" /etc/ssh/revtun/65536 && { ${prepare}; } && setpriv --reuid nobody --clear-groups $S "$D/device" admit '${uid}' 2>&1 || true`);

    test('prints the key line and nothing else', async () => { expect(await admit('true')).toBe(`${keyLine}\n`); });
    test.each([
      ['a symbolic link', 'mv /etc/ssh/revtun/65536 /etc/ssh/revtun/x && ln -s x /etc/ssh/revtun/65536'],
      ['a symbolic link that leads out', 'mv /etc/ssh/revtun/65536 /etc/ssh/x && ln -s /etc/ssh/x /etc/ssh/revtun/65536'],
      ['a file that its group may write', 'chmod 664 /etc/ssh/revtun/65536'],
      ['a file that everyone may write', 'chmod 646 /etc/ssh/revtun/65536'],
      ["a file that is not root's", 'chown nobody /etc/ssh/revtun/65536'],
      ['a directory that others may write', 'chmod 757 /etc/ssh/revtun'],
      ["a directory that is not root's", 'chown nobody /etc/ssh/revtun'],
      ['a named pipe', 'rm /etc/ssh/revtun/65536 && mkfifo /etc/ssh/revtun/65536'],
      ['another option first', `sed -i 's/^restrict/pty/' /etc/ssh/revtun/65536`],
      ['no permitopen', `sed -i 's/,permitopen="[^"]*"//' /etc/ssh/revtun/65536`],
      ['a bare key', `echo '${KEY}' >/etc/ssh/revtun/65536`],
      ['a second line before it', `sed -i '1i ${KEY}' /etc/ssh/revtun/65536`],
    ])('prints nothing of %s', async (_, prepare) => { expect(await admit(prepare)).toBe(''); });
    test('prints no second line', async () => { expect(await admit(`echo '${KEY}' >>/etc/ssh/revtun/65536`)).toBe(`${keyLine}\n`); });
    test.each(['', '../revtun/65536', '*', '65536 ', '-h'])('takes nothing for an account but its number: %j', async (uid) => { expect(await admit('true', uid)).toBe(''); });
  });

  test('called by a person it ends nothing', async () => {
    const { code, stdout, stderr } = await execute([...shell.split(' '), join(folder, 'device')]);
    expect([code, stdout, stderr]).toEqual([1, '', 'This is the login shell of device accounts; it does nothing for others.\n']);
  });

  describe('the reload', () => {
    /** A server that listens at two ports, of which sshd tells one, and at a HUP listens anew. */
    const listening = `require('fs').writeFileSync('/run/pid', String(process.pid));
      const open = (port, then) => { const s = require('net').createServer().listen(port, '127.0.0.1', () => then(s)); };
      open(0, (other) => open(0, (s) => {
        const { port } = s.address();
        process.on('SIGHUP', () => s.close(() => open(port, (next) => { s = next; })));
        require('fs').writeFileSync('/run/port', port + '\\n');
      }));`;
    const reload = async (command: string, { port = '$(cat /run/port)', socket = 1 } = {}) => inside(shell, `mount -t tmpfs -o mode=755 tmpfs /usr/local/sbin
      printf '#!/bin/sh\\nexit ${socket}\\n' >/usr/local/sbin/systemctl; chmod 755 /usr/local/sbin/systemctl
      "$N" -e "$P" & until [ -s /run/port ]; do sleep 0.1; done
      printf '#!/bin/sh\\n[ "$1" = -t ] || printf "port 22\\\\nlistenaddress [::1]:%s\\\\nlistenaddress 127.0.0.1:%s rdomain x\\\\n" 9 %s\\n' ${port} ${port} >/usr/local/sbin/sshd; chmod 755 /usr/local/sbin/sshd
      $S "$D/reload" ${command} 2>&1; echo $?; kill -KILL "$(cat /run/pid)" 2>/dev/null || true`, { N: process.execPath, P: listening });
    const HUP = `sh -c 'kill -HUP "$(cat /run/pid)"'`;

    test('waits until sshd listens anew, at the ports that it has', async () => { expect(await reload(HUP)).toBe('0\n'); });
    test('fails where sshd goes on listening as before', async () => { expect(await reload('true')).toBe('sshd was told to read its configuration anew, and has not done so: it still listens as before\n1\n'); });
    test('fails where nobody listens any more', async () => { expect(await reload(`sh -c 'kill -KILL "$(cat /run/pid)"'`)).toBe('sshd does not listen any more\n1\n'); });
    test('fails with the command', async () => { expect(await reload('sh -c "exit 3"')).toBe('3\n'); });
    test('does not ask for a listener that was not there before', async () => { expect(await reload('true', { port: '9' })).toBe('0\n'); });
    test('takes old listeners where they are systemd’s', async () => { expect(await reload('true', { socket: 0 })).toBe('0\n'); });
  });

  describe('the restore script', () => {
    const prepare = 'cd /etc/ssh && echo old >sshd_config && chmod 640 sshd_config && chgrp daemon sshd_config && ln -s sshd_config link && cp "$D/restore" /run/revtun-restore.sh && R="$S /run/revtun-restore.sh" && ';
    const change = `echo new >sshd_config; chmod 600 sshd_config; echo new >"it's new"; rm link; echo new >link; `;
    const look = `stat -c '%n %F %a %G' *; cat sshd_config; cat /run/reloads 2>/dev/null; ls -I mount /run`;
    const OLD = 'link symbolic link 777 root\nsshd_config regular file 640 daemon\nold\n';

    test('puts bytes, mode, owner, links and absence back, once', async () => {
      expect(await inside(shell, `${prepare} $R arm && { ${change} cp /run/revtun-restore.sh /run/again; $R restore && $S /run/again restore; rm /run/again; ${look}; }`)).toBe(`${OLD}reload\nreloads\n`);
    });
    test('lets everything be when disarmed, and leaves nothing', async () => {
      expect(await inside(shell, `${prepare} $R arm && { ${change} cp /run/revtun-restore.sh /run/again; $R disarm && $S /run/again restore; rm /run/again; cat sshd_config "it's new"; ls -I mount /run; }`)).toBe('new\nnew\n');
    });
    test('disarming fails when everything has been put back already', async () => {
      expect(await inside(shell, `${prepare} cp /run/revtun-restore.sh /run/again; $R arm && { ${change} $R restore; $S /run/again disarm 2>&1; echo $?; cat sshd_config; }`))
        .toBe('No login came in time: everything is as it was before.\n1\nold\n');
    });
    test('a half-made backup is none', async () => {
      expect(await inside(shell, `${prepare} mkdir /run/revtun-restore.new && echo half >/run/revtun-restore.new/1 && ${change} $R restore; cat sshd_config; ls -I mount /run`)).toBe('new\n');
    });
    test('what a killed run left armed is put back before anything else', async () => {
      expect(await inside(shell, `${prepare} $R arm && { ${change} cp "$D/hasty" /run/revtun-restore.sh; $R arm; cat sshd_config; ls; $R disarm; cat sshd_config; }`)).toBe('old\nlink\nsshd_config\nold\n');
    });
    test('restoring goes on where it was killed', async () => {
      expect(await inside(shell, `${prepare} $R arm && { ${change} mv /run/revtun-restore.d /run/revtun-restore.now; $R restore; ${look}; }`)).toBe(`${OLD}reload\nreloads\n`);
    });
    test('what could not be put back is put back by the next run, by its own script', async () => {
      expect(await inside(shell, `${prepare} $R arm && { ${change} mount -o remount,ro /etc/ssh; $R restore 2>/dev/null; echo $?; ls -I mount /run; mount -o remount,rw /etc/ssh; cp "$D/hasty" /run/revtun-restore.sh; rm /run/reloads; $R restore; ${look}; }`))
        .toBe(`1\nreloads\nrevtun-restore.now\nrevtun-restore.sh\n${OLD}reload\nreloads\n`);
    });
    test('what could not be put back is put back by itself later', async () => {
      expect(await inside(shell, `${prepare} cp "$D/hasty" /run/revtun-restore.sh; $R arm && { echo new >sshd_config; mount -o remount,ro /etc/ssh; $R restore 2>/dev/null; sleep 2.5; mount -o remount,rw /etc/ssh; cat sshd_config; sh "$D/until" '! ls /run | grep -q restore'; cat sshd_config; ls -I mount /run; }`))
        .toBe('new\nold\nreloads\n');
    });
    test('what was never changed needs no room', async () => {
      expect(await inside(shell, `${prepare} cp "$D/hasty" /run/revtun-restore.sh; $R arm && { mount -o remount,ro /etc/ssh; $R restore; echo $?; ls -I mount /run; }`)).toBe('0\nreloads\n');
    });
    test('a reload that fails does not keep the files from going back', async () => {
      expect(await inside(shell, `${prepare} cp "$D/helpless" /run/revtun-restore.sh; $R arm && { ${change} echo new >new; $R restore; echo $?; cat sshd_config; ls new 2>&1; ls -I mount /run; }`))
        .toMatch(/^1\nold\nls: .*new.*No such file.*\n$/);
    });
    test('restores by itself without systemd, whatever becomes of who armed it; a disarmed timer touches no later backup', async () => {
      const hasty = `${prepare} cp "$D/hasty" /run/revtun-restore.sh; `;
      expect(await inside(shell, `${hasty} setsid $R arm; echo new >sshd_config; sh "$D/until" '! ls /run | grep -q restore'; cat sshd_config; cat /run/reloads; ls -I mount /run`)).toBe('old\nreload\nreloads\n');
      expect(await inside(shell, `${hasty} $R arm; sleep 1.5; $R disarm; cp "$D/hasty" /run/revtun-restore.sh; $R arm; echo new >sshd_config; sleep 1; cat sshd_config; sh "$D/until" 'grep -q old sshd_config'; cat sshd_config`)).toBe('new\nold\n');
    });
  });
});
