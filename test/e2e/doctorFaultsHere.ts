import { expect } from '@jest/globals';
import { type Fault, script, type Stage } from './doctorDrill.ts';
import { securityKey } from './doctorKeys.ts';

/** A shell script on the device. */
const onDevice = (text: string) => ({ device }: Stage) => script(device, text);

const UNIT = '/etc/systemd/system/revtun-home.service';
const KEY = '/root/.ssh/id_ed25519';

/** A file that hides a program: another one, or nothing that can be run. */
const hidden = (program: string, by: string): Pick<Fault, 'spoil' | 'mend'> => ({
  spoil: onDevice(`mkdir -p /srv/lab; ${by}; mount --bind "$hiding" ${program}`),
  mend: onDevice(`umount ${program} || true`),
});
const away = (...paths: string[]): Pick<Fault, 'spoil' | 'mend'> => ({
  spoil: onDevice(paths.map((path) => `mv ${path} ${path}.away`).join('; ')),
  mend: onDevice(paths.map((path) => `[ ! -e ${path}.away ] || mv -T ${path}.away ${path}`).join('; ')),
});
const saying = (text: string) => `hiding=/srv/lab/another; printf '#!/bin/sh\\necho "${text}" >&2; echo "${text}"\\n' > $hiding; chmod 755 $hiding`;

/** A disk of its own for a directory, with what lies there on it, and not a byte or not a file more. */
const full = (directory: string, options: string, fill: string): Pick<Fault, 'spoil' | 'mend'> => ({
  spoil: onDevice(`mkdir -p /srv/lab; tar -C ${directory} -cf /srv/lab/disk.tar .; mount -t tmpfs -o ${options} tmpfs ${directory}
    cd ${directory}; tar -xpf /srv/lab/disk.tar; (${fill}) 2>/dev/null || true`),
  mend: onDevice(`umount -l ${directory}`),
});

const rewritten = (change: string) => onDevice(`sed -i '${change}' ${UNIT}; systemctl daemon-reload`);
const dropIn = (...lines: string[]) =>
  onDevice(`mkdir -p ${UNIT}.d; printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} > ${UNIT}.d/50-mine.conf; systemctl daemon-reload`);
/** As above, and the service is started with it; how far it gets is for the doctor to say. */
const startedWith = (...lines: string[]) => async (stage: Stage) => {
  await dropIn(...lines)(stage);
  await script(stage.device, ENDED);
};
const RESTARTED = 'systemctl restart --no-block revtun-home.service';
/** Waits until a start has failed, which leaves the service failed or waiting for its next one. */
const ENDED = `${RESTARTED}
for try in $(seq 100); do
  case "$(systemctl show -p ActiveState,SubState,Result --value revtun-home.service | tr '\\n' ' ')" in
    *success*) sleep 0.05;; *) exit 0;;
  esac
done; exit 1`;

/** What the machine itself lacks. */
export const MACHINE: readonly Fault[] = [
  { name: 'ssh is not installed', finding: 'no-ssh', ...away('/usr/bin/ssh') },
  { name: 'ssh cannot be run', finding: 'no-ssh', ...hidden('/usr/bin/ssh', 'hiding=/dev/null') },
  { name: 'ssh is Dropbear', finding: 'no-ssh', ...hidden('/usr/bin/ssh', saying('Dropbear v2022.83')) },
  { name: 'ssh is that of Ubuntu 20.04', finding: 'ssh-too-old', ...hidden('/usr/bin/ssh', saying('OpenSSH_8.2p1 Ubuntu-4ubuntu0.11, OpenSSL 1.1.1f')) },
  { name: 'there is no systemctl', finding: 'no-systemd', ...away('/usr/bin/systemctl') },
  { name: 'systemd is that of Ubuntu 20.04', finding: 'systemd-too-old', ...hidden('/usr/bin/systemctl', saying('systemd 245 (245.4-4ubuntu3)')) },
  { name: 'systemd does not run the machine', finding: 'no-manager', ...away('/run/systemd/system') },
  { name: 'systemd cannot be asked', finding: 'systemd-silent', ...away('/run/systemd/private', '/run/dbus/system_bus_socket') },
  { name: 'the disk with the configuration is full', finding: 'disk-full', ...full('/etc/revtun', 'size=64k', 'cat /dev/zero > full') },
  { name: 'the disk with the configuration has no inodes left', finding: 'disk-full', ...full('/etc/revtun', 'size=1m,nr_inodes=20', 'touch $(seq 40)') },
  { name: 'the disk of the journal is full', finding: 'disk-full', ...full('/var/log', 'size=32m', 'cat /dev/zero > full') },
  {
    name: '/run is full',
    finding: 'disk-full',
    spoil: onDevice(`stat -fc '%b %S' /run > /srv/lab/run; used=$(df --output=used -B4096 /run | tail -1); mount -o "remount,nr_blocks=$((used + 4))" /run
      cat /dev/zero > /run/full 2>/dev/null || true`),
    mend: onDevice('rm -f /run/full; read blocks size < /srv/lab/run; mount -o "remount,size=$((blocks * size))" /run'),
  },
];

/** What is wrong with the files that were installed. */
export const FILES: readonly Fault[] = [
  { name: 'the unit file was deleted', finding: 'half-installed', spoil: onDevice(`rm ${UNIT}; systemctl daemon-reload`) },
  { name: 'the unit file was emptied by a power cut', finding: 'half-installed', spoil: onDevice(`: > ${UNIT}; systemctl daemon-reload`) },
  { name: 'a line of the record is gone', finding: 'record-damaged', spoil: rewritten('/^Host=/d') },
  { name: 'the record is gone', finding: 'record-damaged', spoil: rewritten('/^.X-Revtun/,$d') },
  { name: 'the unit asks for another port', finding: 'unit-altered', fix: 'cuts', spoil: rewritten('/^ExecStart=/s/22222/22223/') },
  { name: 'Restart= was taken out of the unit', finding: 'unit-altered', spoil: rewritten('/^Restart=/d') },
  { name: 'the sandbox was taken out of the unit', finding: 'unit-altered', spoil: rewritten('/^Protect/d') },
  {
    name: 'the unit is masked',
    finding: 'unit-masked',
    fix: 'safe',
    spoil: onDevice(`mkdir -p /run/systemd/system.control; ln -s /dev/null /run/systemd/system.control/revtun-home.service; systemctl daemon-reload`),
  },
  { name: 'the unit file was replaced by a mask', finding: 'unit-masked', spoil: onDevice(`ln -sf /dev/null ${UNIT}; systemctl daemon-reload`) },
  { name: 'a drop-in starts something else', finding: 'drop-in-overrides', spoil: dropIn('[Service]', 'ExecStart=', 'ExecStart=/usr/bin/ssh -fN -R 22222:localhost:22 pi@server.test') },
  { name: 'a drop-in restarts on failure only', finding: 'drop-in-overrides', spoil: dropIn('[Service]', 'Restart=on-failure') },
  {
    name: 'a drop-in of a unit of another version has it not restarted',
    finding: 'drop-in-overrides',
    spoil: async (stage) => {
      await rewritten('1s/revtun-setup [^ ]* /revtun-setup 0.0.1. /')(stage);
      await dropIn('[Service]', 'Restart=no')(stage);
    },
  },
  { name: 'a drop-in gives no start the time it takes', finding: 'not-up', spoil: startedWith('[Service]', 'ExecStartPre=/bin/sleep 3', 'TimeoutStartSec=1') },
  { name: 'a drop-in lets systemd give up', finding: 'drop-in-overrides', spoil: dropIn('[Unit]', 'StartLimitIntervalSec=60') },
  { name: 'a drop-in has it run as root', finding: 'drop-in-overrides', spoil: dropIn('[Service]', 'User=root') },
  { name: 'a drop-in names another key', finding: 'drop-in-overrides', spoil: dropIn('[Service]', 'LoadCredential=', 'LoadCredential=key:/root/other') },
  {
    name: 'a drop-in was changed without a reload',
    finding: 'needs-reload',
    fix: 'cuts',
    spoil: async (stage) => {
      await dropIn('[Service]', 'Nice=5')(stage);
      await script(stage.device, `echo '[Service] Nice=10' | tr ' ' '\\n' > ${UNIT}.d/50-mine.conf`);
    },
  },
  { name: 'a line of our ssh_config was changed', finding: 'config-altered', spoil: onDevice('sed -i "s/ServerAliveInterval.*/ServerAliveInterval 600/" /etc/revtun/home/ssh_config') },
  { name: 'our ssh_config was deleted', finding: 'config-altered', fix: 'cuts', spoil: onDevice('rm /etc/revtun/home/ssh_config') },
  { name: 'the service may not read the pinned host keys', finding: 'config-altered', spoil: onDevice('chmod 600 /etc/revtun/home/known_hosts') },
  { name: 'the service may not enter the directory', finding: 'config-altered', spoil: onDevice('chmod 700 /etc/revtun') },
  { name: 'the account of the service was deleted', finding: 'service-user-missing', fix: 'safe', spoil: onDevice('sed -i /^revtun:/d /etc/passwd /etc/shadow /etc/group /etc/gshadow') },
  { name: 'the key was deleted', finding: 'key-missing', spoil: onDevice(`rm ${KEY}`) },
  { name: 'the key is on a disk that is not mounted', finding: 'key-missing', spoil: onDevice(`rm ${KEY}; ln -s /mnt/stick/key ${KEY}`) },
  { name: 'the key can be read by all', finding: 'key-too-open', fix: 'safe', spoil: onDevice(`chmod 644 ${KEY}`) },
  { name: 'the public key stands in the place of the key', finding: 'key-not-private', spoil: onDevice(`cp ${KEY}.pub ${KEY}`) },
  { name: 'the key was cut short', finding: 'key-not-private', spoil: onDevice(`truncate -s 100 ${KEY}`) },
  { name: 'the key is of PuTTY', finding: 'key-not-private', spoil: onDevice(`echo PuTTY-User-Key-File-3: ssh-ed25519 > ${KEY}`) },
  { name: 'the key got a passphrase', finding: 'key-passphrase', spoil: onDevice(`ssh-keygen -qp -P '' -N secret -f ${KEY}`) },
  { name: 'the key is one that wants to be touched', finding: 'key-needs-touch', spoil: ({ device }) => device.writeFile(KEY, securityKey(), { mode: 0o600 }) },
  { name: 'the pinned host keys are gone', finding: 'not-pinned', spoil: onDevice('rm /etc/revtun/home/known_hosts') },
  { name: 'another host is pinned than the server', finding: 'not-pinned', spoil: onDevice('sed -i s/^server.test/other.test/ /etc/revtun/home/known_hosts') },
];

/**
 * What systemd-oomd does with a service that it chose: it counts that in extended attributes of the cgroup, and kills.
 * (A limit would need the memory controller, and no program is everywhere that does setxattr(2).) systemd reads them
 * when the cgroup is empty, unless a main process that it knows has ended before.
 */
const OOM_KILL = `
  my ($group, $count) = ("/sys/fs/cgroup/system.slice/revtun-home.service", "1");
  for my $name (qw(user.oomd_ooms user.oomd_kill)) {
    my $text = "$name";
    syscall(\`uname -m\` =~ /aarch64/ ? 5 : 188, $group, $text, $count, 1, 0) == 0 or die $!;
  }
  open(my $file, "<", "$group/cgroup.procs") or die $!;
  kill "KILL", map { int $_ } <$file>;`;

/** A tunnel to the same server, not started. */
const installed = (name: string, ...flags: string[]) => async ({ device, revtun }: Stage) => {
  await script(device, 'cp /etc/revtun/home/known_hosts /srv/lab/pinned');
  expect(await revtun(['install', name, '--host', 'pi@server.test', '--known-hosts', '/srv/lab/pinned', '--no-start', ...flags])).toMatchObject({ code: 0 });
};

/** What keeps the service from running as it should. */
export const SERVICE: readonly Fault[] = [
  { name: 'it is not started at boot', finding: 'not-enabled', fix: 'safe', spoil: onDevice('systemctl disable -q revtun-home.service') },
  { name: 'somebody stopped it', finding: 'stopped', fix: 'safe', spoil: onDevice('systemctl stop revtun-home.service') },
  {
    name: 'systemd gave up, by a limit that is gone again',
    finding: 'gave-up',
    fix: 'safe',
    spoil: async (stage) => {
      await dropIn('[Unit]', 'StartLimitIntervalSec=1h', 'StartLimitBurst=1')(stage);
      await script(stage.device, `systemctl restart revtun-home.service; ! systemctl restart revtun-home.service; rm -r ${UNIT}.d; systemctl daemon-reload; systemctl is-failed -q revtun-home.service`);
    },
  },
  { name: 'it runs with the port that it had before', finding: 'outdated', spoil: installed('home', '--remote-port', '22223') },
  {
    name: 'it runs with the keepalive that it had before',
    finding: 'outdated',
    fix: 'cuts',
    spoil: async (stage) => {
      // Of what happens at its very start, nobody could tell whether it was before or after.
      await script(stage.device, `pid=$(systemctl show -p MainPID --value revtun-home.service)
        for try in $(seq 100); do [ "$(ps -o etimes= -p $pid)" -lt 3 ] || exit 0; sleep 0.1; done; exit 1`);
      await installed('home', '--remote-port', '22222', '--keepalive', '9')(stage);
    },
  },
  { name: 'its sandbox cannot be made', finding: 'sandbox-failed', spoil: startedWith('[Service]', 'ReadWritePaths=/nonexistent') },
  {
    name: 'a file lies where its directory in /run belongs',
    finding: 'sandbox-failed',
    spoil: onDevice(`systemctl stop revtun-home.service; rm -rf /run/revtun-home; touch /run/revtun-home; ${ENDED}`),
    mend: onDevice('systemctl stop revtun-home.service; rm -rf /run/revtun-home'),
  },
  {
    name: '/bin/sh cannot be run',
    finding: 'program-missing',
    spoil: onDevice(`chmod a-x "$(readlink -f /bin/sh)"; ${ENDED}`),
    mend: onDevice('chmod a+x "$(readlink -f /bin/sh)"'),
  },
  {
    name: 'systemd-oomd ended it for want of memory',
    finding: 'out-of-memory',
    spoil: async (stage) => {
      await dropIn('[Service]', 'RestartSec=1min', 'GuessMainPID=no')(stage);
      await script(stage.device, `systemctl restart revtun-home.service; perl -e '${OOM_KILL}'
        for try in $(seq 100); do [ "$(systemctl show -p SubState,Result --value revtun-home.service | tr '\\n' ' ')" != 'oom-kill auto-restart ' ] || exit 0; sleep 0.02; done; exit 1`);
    },
  },
];

/** An ssh that somebody else set up on this machine, under systemd as the recipes have it. */
const rival = (argv: string, { first }: { first: boolean }): Pick<Fault, 'spoil' | 'mend'> => ({
  spoil: async (stage) => {
    await script(stage.device, `[ ${Number(first)} = 0 ] || systemctl stop revtun-home.service
      systemd-run -q --unit=rival ${argv}
      for try in $(seq 100); do [ -n "$(ss -Htnp state established '( dport = :22 )' | grep "pid=$(systemctl show -p MainPID --value rival.service),")" ] && break; sleep 0.05; done`);
    if (first) await script(stage.device, ENDED);
  },
  mend: onDevice('systemctl stop rival.service || true; systemctl reset-failed'),
});
const PASTED = '/usr/bin/ssh -NT -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o ServerAliveInterval=60';

/** Who else wants the port from here. */
export const RIVALS: readonly Fault[] = [
  { name: 'another tunnel of ours asks for the same port', finding: 'port-shared-here', spoil: installed('other', '--remote-port', '22222') },
  { name: 'a pasted ssh holds the port', finding: 'rival-ssh', ...rival(`${PASTED} -R 22222:localhost:22 pi@server.test`, { first: true }) },
  { name: 'a pasted ssh waits for the port', finding: 'rival-ssh', ...rival(`${PASTED} -R22222:localhost:22 -l pi -p 22 server4.test`, { first: false }) },
];
