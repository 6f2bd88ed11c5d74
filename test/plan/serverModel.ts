import { SERVER } from '../../src/server/places.ts';
import { type Account, DEVICE_COMMENT, includesDropIns, type ServerFile, type ServerState } from '../../src/server/state.ts';
import { accountOf, readKeyFile } from '../../src/server/device.ts';
import type { Step } from '../../src/plan/step.ts';

export const file = (content: string, mode = 0o644, uid = 0): ServerFile => ({ kind: 'file', content, mode, uid, gid: 0 });
export const directory = (mode = 0o755, uid = 0): ServerFile => ({ kind: 'directory', content: undefined, mode, uid, gid: 0 });

/** A server that nobody has touched, as Debian makes it. */
export const bareServer: ServerState = {
  openssh: 'OpenSSH_9.2p1',
  settings: new Map([['port', ['22']], ['unusedconnectiontimeout', ['none']], ['channeltimeout', ['none']]]),
  complaint: '',
  unread: [],
  includesDropIns: true,
  sshd: 'ssh.service',
  activated: false,
  systemd: true,
  selinux: { enforcing: false, semanage: false, restorecon: false },
  files: new Map([
    ['/etc/ssh', directory()],
    ['/etc/ssh/sshd_config.d', directory()],
    [SERVER.mainConfig, file('Include /etc/ssh/sshd_config.d/*.conf\nUsePAM yes\n')],
  ]),
  accounts: new Map(),
  keysUser: undefined,
  emptyDirectories: new Set(),
  groups: new Map(),
  takenUids: new Set(),
  keyFiles: new Map(),
  devices: [],
  listeners: [{ address: '0.0.0.0', port: 22, uid: 0 }],
  connections: [],
  processes: new Map(),
  hostKeys: [],
  firstEphemeralPort: 32_768,
  now: new Date(0),
};

/** What a server has once the steps are done; knows the programs that plans use, and throws for others. */
export function after(state: ServerState, steps: readonly Step[]): ServerState {
  const [files, keyFiles, accounts, groups] = [new Map(state.files), new Map(state.keyFiles), new Map(state.accounts), new Map(state.groups)];
  let { keysUser } = state;
  const put = (path: string, node: ServerFile | undefined) => {
    const [where, name] = path.startsWith(`${SERVER.keys}/`) ? [keyFiles, path.slice(SERVER.keys.length + 1)] : [files, path];
    if (node) where.set(name, node);
    else where.delete(name);
  };
  const commands: Readonly<Record<string, (words: readonly string[]) => void>> = {
    groupadd: (words) => void groups.set(words.at(-1)!, 900 + groups.size),
    groupdel: (words) => void groups.delete(words.at(-1)!),
    useradd: (words) => {
      const value = (flag: string) => words[words.indexOf(flag) + 1]!;
      const name = words.at(-1)!;
      if (name === SERVER.keysUser) return void (keysUser = account(name, 990, { comment: value('--comment') }));
      accounts.set(name, { name, uid: Number(value('--uid')), gid: groups.get(value('--gid'))!, comment: value('--comment'), home: value('--home-dir'), shell: value('--shell') });
    },
    userdel: (words) => {
      if (words.at(-1) === SERVER.keysUser) keysUser = undefined;
      accounts.delete(words.at(-1)!);
    },
    usermod: (words) => {
      const account = accounts.get(words.at(-1)!)!;
      accounts.set(account.name, words[1] === '--shell' ? { ...account, shell: words[2]! } : { ...account, gid: groups.get(words[2]!)! });
    },
    sh: (words) => {
      if (words[1] === SERVER.restore && words[2] === 'disarm') files.delete(SERVER.restore);
    },
    semanage: () => undefined,
    restorecon: () => undefined,
  };
  for (const step of steps) {
    switch (step.kind) {
      case 'make-directory': put(step.path, directory(step.mode)); break;
      case 'write': put(step.path, file(step.content, step.mode)); break;
      case 'remove': put(step.path, undefined); break;
      case 'remove-directory': {
        const isEmpty = (step.path !== SERVER.keys || keyFiles.size === 0) && ![...files.keys()].some((path) => path.startsWith(`${step.path}/`));
        if (isEmpty) put(step.path, undefined);
        break;
      }
      case 'run': commands[step.argv[0]!]!(step.argv); break;
      default: break;
    }
  }
  const uids = [...accounts.values()].map(({ uid }) => uid);
  return {
    ...state, files, keyFiles, accounts, groups, keysUser,
    includesDropIns: includesDropIns(files.get(SERVER.mainConfig)?.content ?? ''),
    takenUids: new Set([...state.takenUids, ...uids].filter((uid) => uids.includes(uid) || ![...state.accounts.values()].some((account) => account.uid === uid))),
    devices: [...accounts.values()].flatMap((account) => {
      const device = readKeyFile(account.uid, keyFiles.get(String(account.uid))?.content ?? '');
      return device && accountOf(device.name) === account.name ? [device] : [];
    }),
  };
}

export const account = (name: string, uid: number, more: Partial<Account> = {}): Account => ({ name, uid, gid: 900, comment: DEVICE_COMMENT, home: '/', shell: SERVER.script, ...more });
