import type { Explanation } from './catalogue.ts';

/** Findings about this machine. */
export const HERE = {
  'no-ssh': {
    symptom: 'Nothing can be installed, and a tunnel that was up never comes back.',
    cause: '/usr/bin/ssh is not there, cannot be run, or is not OpenSSH.',
    cure: 'apt-get install openssh-client (Fedora, RHEL: dnf install openssh-clients)',
  },
  'ssh-too-old': {
    symptom: 'ssh ends with "Bad configuration option" or does not find its key.',
    cause: 'OpenSSH is older than 8.4, the first that finds a key through an environment variable, as a credential of systemd needs.',
    cure: 'Upgrade the distribution: Debian 11, Ubuntu 22.04 and RHEL 9 are new enough.',
  },
  'no-systemd': {
    symptom: 'There is no systemctl.',
    cause: 'This machine is run by something else than systemd (OpenRC, runit, a container without a service manager).',
    cure: 'revtun-setup render prints the files; your own service manager has to do the rest.',
  },
  'systemd-too-old': {
    symptom: 'systemd warns of settings that it does not know, and the service does not start.',
    cause: 'systemd is older than 247, the first with LoadCredential= and the whole sandbox.',
    cure: 'Upgrade the distribution: Debian 11, Ubuntu 22.04 and RHEL 9 are new enough.',
  },
  'no-manager': {
    symptom: 'systemctl says "System has not been booted with systemd" or "Failed to connect to bus".',
    cause: 'systemd is installed but does not run this machine, as in most containers; or, for a tunnel of a user, no service manager of that user runs.',
    cure: 'For a user: log in as that user (not with su), or sudo loginctl enable-linger USER. In a container: run the tunnel on its host.',
  },
  'systemd-silent': {
    symptom: 'systemctl hangs, or says "Failed to connect to bus" or "Connection timed out".',
    cause: 'systemd itself is stuck, or its socket below /run is gone.',
    cure: 'systemctl daemon-reexec; if that does not answer either, kill -TERM 1 makes systemd begin anew, and systemctl reboot --force ends it all.',
  },
  'disk-full': {
    symptom: 'Files are empty after a power cut, the journal ends, a service does not start, an installation is undone.',
    cause: 'A file system that files of ours, the journal or /run lie on has no room or no inodes left.',
    cure: 'du -xh --max-depth=2 / | sort -h | tail shows what takes the room, df -i whether it is inodes. journalctl --vacuum-size=50M takes old journals away.',
  },
  'half-installed': {
    symptom: 'The tunnel is in no list, but its files below /etc/revtun (or ~/.config/revtun) are there.',
    cause: 'An installation was killed in its middle, a power cut left the unit file empty, or somebody removed it.',
    cure: 'Install it again with its flags, or take the rest away: revtun-setup uninstall NAME',
  },
  'record-damaged': {
    symptom: 'list shows "(record damaged)".',
    cause: 'Lines of the section [X-Revtun] of the unit, from which the settings are read back, were changed or removed.',
    cure: 'Install it again with its flags: revtun-setup install NAME --host … --remote-port …',
  },
  'unit-altered': {
    symptom: 'The tunnel does something else than it was installed for, or not for long.',
    cause: 'Somebody edited the unit file itself, changed its mode, or put another in its place.',
    cure: 'revtun-setup doctor --fix NAME writes it anew from its own record, and keeps what was there in /etc/revtun/NAME/revtun-NAME.service.former. What you want to keep belongs in a drop-in: systemctl edit revtun-NAME.service',
  },
  'unit-masked': {
    symptom: 'systemctl start says "Unit is masked".',
    cause: 'Somebody forbade to start it: a link to /dev/null stands in place of the unit, or before it.',
    cure: 'revtun-setup doctor --fix NAME where the unit is still there; otherwise systemctl unmask revtun-NAME.service, and install it again.',
  },
  'drop-in-overrides': {
    symptom: 'The tunnel stays down after a failure, runs as somebody else, or starts another command.',
    cause: 'A drop-in says something else for ExecStart, Restart, StartLimitIntervalSec, Type, User or the key\'s credential, or systemd does not take it at all.',
    cure: 'Take that setting out of the drop-in (it is yours, so --fix leaves it), then: systemctl daemon-reload and systemctl restart revtun-NAME.service',
  },
  'needs-reload': {
    symptom: 'systemctl warns: "The unit file, source configuration file or drop-ins changed on disk".',
    cause: 'A file was changed, and systemd has not read it since.',
    cure: 'systemctl daemon-reload, or revtun-setup doctor --fix NAME, which restarts the service where it runs with something else.',
  },
  'config-altered': {
    symptom: 'ssh ends with "Bad configuration option", asks questions, or waits for too long or too short.',
    cause: 'The ssh_config beside the tunnel is gone, somebody edited it, or the user revtun may not read it or the known_hosts (a chmod of /etc/revtun).',
    cure: 'revtun-setup doctor --fix NAME writes it anew, and keeps what was there as ssh_config.former beside it. Settings have flags: --keepalive, --cipher. Its directories are for all to enter: chmod a+rX /etc/revtun /etc/revtun/NAME',
  },
  'service-user-missing': {
    symptom: 'The service does not start; the journal says "Failed to determine user credentials" or status=217/USER.',
    cause: 'The system user revtun, which services of the system run as, was removed.',
    cure: 'revtun-setup doctor --fix NAME makes it again.',
  },
  'key-missing': {
    symptom: 'The service does not start; the journal says "Failed to set up credentials" or status=243/CREDENTIALS.',
    cause: 'The private key is not where the unit says: it was moved or removed, or its disk is not mounted.',
    cure: 'Put it back, or revtun-setup install NAME --key PATH; or --generate-key for a new one, whose public half the server has to admit.',
  },
  'key-unreadable': {
    symptom: 'As for key-missing, but the file is there.',
    cause: 'Something keeps even root from the key: SELinux, or a network file system. For a tunnel of a user: the key is not that user\'s, for example made with sudo.',
    cure: 'Keep the key on a disk of this machine: revtun-setup install NAME --key PATH. One that is not yours: sudo chown USER PATH',
  },
  'key-too-open': {
    symptom: 'ssh says "UNPROTECTED PRIVATE KEY FILE" and does not use the key.',
    cause: 'Others than its owner may read the private key.',
    cure: 'chmod 600 PATH, or revtun-setup doctor --fix NAME. If others may have read it: make a new one.',
  },
  'key-not-private': {
    symptom: 'ssh says "error in libcrypto", "invalid format" or "Permission denied (publickey)".',
    cause: 'The file is no private key that ssh can read: it is the public half, in PuTTY\'s format, cut short, or something else.',
    cure: 'Name the private one (revtun-setup install NAME --key PATH); for PuTTY\'s: puttygen KEY.ppk -O private-openssh -o KEY',
  },
  'key-passphrase': {
    symptom: 'The tunnel works by hand and not as a service: "Permission denied (publickey)".',
    cause: 'The key is protected by a passphrase, and a service has nobody to ask.',
    cure: 'Use a key of its own (revtun-setup install NAME --generate-key), or take the passphrase off: ssh-keygen -p -f PATH',
  },
  'key-needs-touch': {
    symptom: 'The tunnel works by hand and not as a service.',
    cause: 'The key lives on a security key (FIDO) that wants to be touched.',
    cure: 'Use a key of its own: revtun-setup install NAME --generate-key',
  },
  'not-pinned': {
    symptom: 'ssh says "Host key verification failed".',
    cause: 'The known_hosts beside the tunnel is gone, or holds no key of the server or of a jump host.',
    cure: 'Have the fingerprint read out on the server (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub), then: revtun-setup install NAME --host-key SHA256:… It is never made up.',
  },
  'not-enabled': {
    symptom: 'All is well until the next reboot.',
    cause: 'The service is not started at boot: somebody disabled it.',
    cure: 'revtun-setup doctor --fix NAME, or systemctl enable revtun-NAME.service',
  },
  'lingering-off': {
    symptom: 'The tunnel of a user ends when that user logs out, and is not there after a reboot.',
    cause: 'systemd ends the services of a user with the last session, unless the user "lingers".',
    cure: 'sudo loginctl enable-linger USER; where that is allowed without root, revtun-setup doctor --fix NAME does it.',
  },
  'stopped': {
    symptom: 'Nothing tries to connect.',
    cause: 'Somebody stopped the service (systemctl stop), or never started it (--no-start).',
    cure: 'systemctl start revtun-NAME.service, or revtun-setup doctor --fix NAME',
  },
  'gave-up': {
    symptom: 'Nothing tries to connect any more; systemctl says "failed".',
    cause: 'The service failed in a way after which systemd does not start it again, for example by a start limit that a drop-in brought.',
    cure: 'revtun-setup doctor --fix NAME, or systemctl reset-failed and systemctl start revtun-NAME.service',
  },
  'outdated': {
    symptom: 'The tunnel is up, but not with the settings that status shows.',
    cause: 'The settings were changed without a restart (--no-start, or an installation that was killed).',
    cure: 'systemctl restart revtun-NAME.service. It cuts the connection for a moment.',
  },
  'sandbox-failed': {
    symptom: 'The service ends before ssh has begun; the journal says "Failed at step …" and status=226/NAMESPACE, 218/CAPABILITIES or the like.',
    cause: 'The kernel, a container or a drop-in does not let systemd put a setting of the unit into force; or user namespaces were forbidden since the installation.',
    cure: 'journalctl -u revtun-NAME.service names the step. revtun-setup doctor --fix NAME writes the unit as this machine can carry it; a drop-in has to be changed by hand.',
  },
  'program-missing': {
    symptom: 'The service ends before ssh has begun; the journal says status=203/EXEC.',
    cause: '/bin/sh, which begins the service, is not there or may not be run.',
    cure: 'Mend the system: apt-get install --reinstall dash',
  },
  'out-of-memory': {
    symptom: 'The service is ended again and again; the journal says "oom-kill".',
    cause: 'This machine has no memory left, and the kernel or systemd-oomd chose the tunnel; or a drop-in gives it too little (MemoryMax=).',
    cure: 'ps -eo rss,args --sort=-rss | head shows who takes it. End that, or give it a limit.',
  },
  'port-shared-here': {
    symptom: 'One of two tunnels is up, and the other says that the port is taken.',
    cause: 'Two tunnels of this machine ask the same server for the same port.',
    cure: 'Give one another port (revtun-setup install NAME --remote-port N), or take it away: revtun-setup uninstall NAME',
  },
  'rival-ssh': {
    symptom: 'The tunnel says that the port is taken, though it leads to this machine.',
    cause: 'Another ssh or autossh on this machine, from a crontab, an rc.local or a service of your own, asks the same server for the same port.',
    cure: 'End what starts it, then the process; then systemctl restart revtun-NAME.service',
  },
  'port-in-use-here': {
    symptom: '"bind: Address already in use", "Could not request local forwarding" in the journal, and the service never comes up.',
    cause: 'Another program of this machine has a port or a socket that the tunnel is to listen on (-L or -D).',
    cure: 'See which: sudo ss -ltnp\nEnd it, or give the tunnel another port: revtun-setup install NAME -L PORT:HOST:HOSTPORT',
  },
  'socket-directory': {
    symptom: '"unix_listener: cannot bind to path" in the journal, and the service never comes up.',
    cause: 'The directory of a socket that the tunnel is to make (-L PATH:…) is gone.',
    cure: 'Make it anew, so that the service may write to it and it outlives a reboot: mkdir -m 1777 /var/lib/revtun-NAME',
  },
} as const satisfies Record<string, Explanation>;
