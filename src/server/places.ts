/** Where the server's end lies. */
export const SERVER = {
  /** The accounts' shell, and sshd's AuthorizedKeysCommand. */
  script: '/usr/local/lib/revtun/device',
  scriptDirectory: '/usr/local/lib/revtun',
  /** Holds one file a device, named by the uid of its account. */
  keys: '/etc/ssh/revtun',
  /** The first name in its directory: sshd takes the first value that it meets. */
  dropIn: '/etc/ssh/sshd_config.d/00-revtun.conf',
  mainConfig: '/etc/ssh/sshd_config',
  session: '/etc/systemd/system/user@.service.d/revtun.conf',
  sessionDirectory: '/etc/systemd/system/user@.service.d',
  /** Puts sshd's configuration back; there only while it is being changed. */
  restore: '/run/revtun-restore.sh',
  lock: '/run/revtun-server.lock',
  group: 'revtun-devices',
  /** The primary group of devices whose port is for everyone. */
  publicGroup: 'revtun-public',
} as const;
