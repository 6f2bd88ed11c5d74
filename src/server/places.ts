/** Where the server's end lies. */
export const SERVER = {
  /**
   * The accounts' shell, and sshd's AuthorizedKeysCommand. sshd starts the latter only when root alone may write to each
   * directory above it: so it is in /etc/ssh everywhere, while Debian's /usr/local was its group's (staff) for decades.
   */
  script: '/etc/ssh/revtun-device',
  configuration: '/etc/ssh',
  /** Holds one file a device, named by the uid of its account. */
  keys: '/etc/ssh/revtun',
  /** The first name in its directory: sshd takes the first value that it meets. */
  dropIn: '/etc/ssh/sshd_config.d/00-revtun.conf',
  mainConfig: '/etc/ssh/sshd_config',
  session: '/etc/systemd/system/user@.service.d/revtun.conf',
  sessionDirectory: '/etc/systemd/system/user@.service.d',
  /** Puts sshd's configuration back; there only while it is being changed. */
  restore: '/run/revtun-restore.sh',
  /** Its backup while its timer runs, and while (or after) it is being put back. */
  armed: '/run/revtun-restore.d',
  restoring: '/run/revtun-restore.now',
  lock: '/run/revtun-server.lock',
  /** Whom sshd runs the script as to ask for keys, and who does nothing else. No account of a device: those begin with `revtun-`. */
  keysUser: 'revtun_keys',
  group: 'revtun-devices',
  /** The primary group of devices whose port is for everyone. */
  publicGroup: 'revtun-public',
} as const;
