import { createHash } from 'node:crypto';
import { usage } from '../errors.ts';
import { RESTORE_AFTER } from '../server/content.ts';
import { accountOf, isPublicDevice, keyFileOf, renderKeyFile } from '../server/device.ts';
import { SERVER } from '../server/places.ts';
import { DEVICE_COMMENT, DEVICE_UIDS, KEYS_COMMENT, type ServerFile, type ServerState } from '../server/state.ts';
import { commandLine } from '../shell.ts';
import { type Requirement, toScript } from './script.ts';
import { type DeviceWish, planServerAdd } from './serverDevices.ts';
import { planServerSetup } from './serverSetup.ts';
import type { Step } from './step.ts';

/** What a script cannot find out, because it would have to be another one. */
export interface Assumed {
  /** sshd reads no drop-ins, so the same text goes to the end of its main file. */
  readonly inline: boolean;
  /** sshd is older than 9.2 and lacks keywords. */
  readonly old: boolean;
  readonly selinux: boolean;
}

/** `server setup` as a script, for a server that is as `assumed`; it looks itself whether it is. */
export function serverSetupScript(assumed: Assumed): string {
  const steps = planServerSetup(fresh(assumed));
  return toScript(steps.map(inlined), {
    title: 'makes this server ready for the tunnels of devices',
    requires: [...setupRequires(assumed), ...steps.flatMap(noOtherBlock)],
    lock: SERVER.lock,
    confirmWithin: RESTORE_AFTER,
  });
}

/**
 * `server add` as a script. The uid has to be known when it is made, as it names a file and stands in commands. It
 * follows from the name, so that each run of it, and each one made anew, means the same account; two names of a
 * thousand meet once in thirty, which the script finds out, and then `uid` says another one.
 * @param key where the device has its private key, for the command that is printed in the end
 * @throws ExpectedError as `server add` does
 */
export function serverAddScript(wish: DeviceWish & { readonly port: number }, key: string, selinux: boolean, uid = uidFor(wish.name)): string {
  if (uid < DEVICE_UIDS.first || uid > DEVICE_UIDS.last) throw usage(`--uid: user ids of devices are from ${DEVICE_UIDS.first} to ${DEVICE_UIDS.last}`);
  const state = fresh({ inline: false, old: false, selinux });
  const others = Array.from({ length: DEVICE_UIDS.last - DEVICE_UIDS.first + 1 }, (_, at) => DEVICE_UIDS.first + at).filter((one) => one !== uid);
  const { device, steps } = planServerAdd({ ...state, groups: new Map([[SERVER.group, 1], [SERVER.publicGroup, 2]]), takenUids: new Set(others) }, wish);
  const [keyFile, account, port] = [keyFileOf(uid), accountOf(device.name), String(device.port)];
  const keyLine = renderKeyFile(device).split('\n')[1]!;
  const blob = device.publicKey.split(' ')[1]!;
  const requires: Requirement[] = [
    { argv: sh('[ -x "$1" ] && getent group "$2" && getent group "$3"', SERVER.script, SERVER.group, SERVER.publicGroup), otherwise: 'This server is not set up for devices yet. First: revtun-setup server script setup' },
    {
      argv: sh('line=$(getent passwd "$1") || line=$(getent passwd "$2") || exit 0; case $line in "$1":*:"$2":*:"$3") ;; *) exit 1 ;; esac', account, String(uid), SERVER.script),
      otherwise: `${account} is there otherwise than with the user id ${uid}, or that is another account's. Make this script anew with --uid N, from ${DEVICE_UIDS.first} to ${DEVICE_UIDS.last}: that of ${account} if it is there, or one that is free (getent passwd N prints nothing).`,
    },
    {
      argv: sh('[ ! -e "$1" ] || grep -qxF -e "$2" "$1"', keyFile, keyLine),
      otherwise: `There is a device "${device.name}" here already, with another key or port. To replace it: revtun-setup server remove ${device.name} DEST`,
    },
    {
      argv: sh('for file in "$1"/*; do [ "$file" = "$2" ] || ! grep -qs -e "permitlisten=\\"[^\\"]*:$3\\"" "$file" || exit 1; done', SERVER.keys, keyFile, port),
      otherwise: `Port ${port} is promised to another device. Make this script anew with another --remote-port.`,
    },
    {
      argv: sh('for file in "$1"/*; do [ "$file" = "$2" ] || ! grep -qsF -e " $3" "$file" || exit 1; done', SERVER.keys, keyFile, blob),
      otherwise: 'Another device has this very key. Make a key of its own for each device: ssh-keygen -t ed25519',
    },
    {
      argv: sh('[ -e "$1" ] || ! ss -Hltn "sport = :$2" | grep -q .', keyFile, port),
      otherwise: `Something listens on port ${port} here already. Make this script anew with another --remote-port.`,
    },
    selinuxRequires(selinux),
  ];
  return toScript(steps, {
    title: `admits the device ${device.name} at port ${port}`,
    requires,
    lock: SERVER.lock,
    closing: [sh(TELL, account, port, commandLine([
      ...(device.bind === '127.0.0.1' ? [] : ['--bind', device.bind]), ...(isPublicDevice(device) ? ['--accept-risk=public'] : []), '--key', key,
    ]))],
  });
}

/** A uid of the range of devices that follows from the name. */
export const uidFor = (name: string) =>
  DEVICE_UIDS.first + (createHash('sha256').update(name).digest().readUInt32BE() % (DEVICE_UIDS.last - DEVICE_UIDS.first + 1));

/** What the device's install needs; only its owner knows by what name it reaches this server. */
const TELL = `port=$(sshd -T 2>/dev/null | sed -n 's/^port //p' | head -n 1)
for key in /etc/ssh/ssh_host_ed25519_key.pub /etc/ssh/ssh_host_*_key.pub; do [ ! -e "$key" ] || break; done
print=$(ssh-keygen -lf "$key" | cut -d ' ' -f 2)
printf '%s\\n' "On the device, as root, with the name or address of this server for HOST:" \\
  "  revtun-setup install --host $1@HOST --port \${port:-22} --remote-port $2 $3 --host-key $print" \\
  "{\\"host\\":\\"HOST\\",\\"user\\":\\"$1\\",\\"port\\":\${port:-22},\\"remotePort\\":$2,\\"hostKey\\":\\"$print\\"}"`;

const sh = (text: string, ...words: readonly string[]) => ['sh', '-c', text, 'sh', ...words];

/** A server as it comes: with an sshd that listens by itself, and nothing of ours. {@link setupRequires} has it looked at. */
function fresh({ inline, old, selinux }: Assumed): ServerState {
  const main: ServerFile = { kind: 'file', mode: 0o644, uid: 0, gid: 0, content: '' };
  return {
    openssh: old ? 'OpenSSH_8.4' : 'OpenSSH_9.2',
    settings: new Map(old ? [] : NEWER.map((keyword) => [keyword, ['none']])),
    complaint: '',
    unread: [],
    includesDropIns: !inline,
    // Its services have several names; this reaches it by any.
    sshd: 'by-signal',
    activated: false,
    systemd: true,
    selinux: { enforcing: selinux, semanage: selinux, restorecon: selinux },
    files: new Map([[SERVER.mainConfig, main]]),
    accounts: new Map(), groups: new Map(), takenUids: new Set(), keyFiles: new Map(), devices: [], keysUser: undefined, emptyDirectories: new Set(),
    listeners: [], connections: [], processes: new Map(), hostKeys: [], firstEphemeralPort: 32_768, now: new Date(0),
  };
}

/** Keywords since 9.2. */
const NEWER = ['unusedconnectiontimeout', 'channeltimeout'];

/** Of the main file only the server knows what it holds: what the plan would write there is added at its end. */
function inlined(step: Step): Step {
  if (step.kind !== 'write' || step.path !== SERVER.mainConfig) return step;
  const [guarded, settle] = [step.guarded ? `${commandLine(step.guarded)} && ` : '', step.settle ? ` && ${commandLine(step.settle)}` : ''];
  return { kind: 'run', title: `add our block to ${step.path}`, argv: sh(guarded + APPEND + settle, step.path, step.content), unless: sh(HOLDS, step.path, step.content.trimEnd()) };
}

function noOtherBlock(step: Step): Requirement[] {
  if (step.kind !== 'write' || step.path !== SERVER.mainConfig) return [];
  const [first = ''] = step.content.split('\n');
  return [{
    argv: sh(`! grep -qF -e "$3" "$1" || ${HOLDS}`, step.path, step.content.trimEnd(), first),
    otherwise: `${step.path} holds a block of another version. To bring it up to date: revtun-setup server setup DEST`,
  }];
}

const HOLDS = 'case $(cat "$1") in *"$2"*) ;; *) exit 1 ;; esac';

// A line without an end would swallow the block's first.
const APPEND = 'cp -p "$1" "$1.revtun.tmp" && { [ -z "$(tail -c 1 "$1")" ] || echo; printf %s "$2"; } >>"$1.revtun.tmp" && mv -f "$1.revtun.tmp" "$1"';

const INCLUDES = String.raw`sed -n '/^[[:space:]]*[Mm][Aa][Tt][Cc][Hh]/q;p' "$1" | grep -Eiq '^[[:space:]]*include[[:space:]=].*sshd_config\.d/\*'`;

function setupRequires({ inline, old, selinux }: Assumed): Requirement[] {
  const knows = `sshd -T | grep -q '^${NEWER[0]} '`;
  return [
    { argv: ['test', '-d', '/run/systemd/system'], otherwise: 'systemd does not run here.' },
    { argv: ['sshd', '-t'], otherwise: 'sshd is not installed, or does not accept its own configuration as it is: sshd -t says why.' },
    { argv: sh('kill -0 "$(cat /run/sshd.pid)"'), otherwise: 'sshd does not run here, or not by itself: /run/sshd.pid names no process.' },
    {
      argv: sh(`[ -z "$(sshd -T -ddd 2>&1 | tr -d '\\r' | sed -n 's/^debug2: load_server_config: filename //p' | xargs -r -d '\\n' sh -c 'find "$@" -newercm /run/sshd.pid' sh)" ]`),
      otherwise: 'sshd has not read yet what was changed in its configuration, and this would put that into force as well. With a second session open, have sshd read it, and see that a new login works.',
    },
    {
      argv: sh('[ -z "$(find "$@" -maxdepth 0 ! \\( -type d -user 0 ! -perm /022 \\) 2>/dev/null)" ]', SERVER.configuration, SERVER.keys, SERVER.sessionDirectory),
      otherwise: `One of ${SERVER.configuration}, ${SERVER.keys} and ${SERVER.sessionDirectory} is not a directory that root alone may write to. Move it away, or: chown root and chmod go-w it.`,
    },
    {
      argv: sh('[ -z "$(getent passwd | awk -F: -v keys="$1" -v ofKeys="$2" -v ofDevice="$3" \'($1 == keys && $5 != ofKeys) || ($1 ~ /^revtun-/ && $5 != ofDevice)\')" ]', SERVER.keysUser, KEYS_COMMENT, DEVICE_COMMENT),
      otherwise: `An account is called ${SERVER.keysUser}, or as those of devices are (revtun-…), that was not made by revtun-setup. Rename it: usermod --login NEW OLD`,
    },
    ...(inline ? [{ argv: sh('[ -f "$1" ] && [ ! -L "$1" ]', SERVER.mainConfig), otherwise: `${SERVER.mainConfig} is not a plain file.` }] : []),
    inline
      ? { argv: sh(`! { ${INCLUDES}; }`, SERVER.mainConfig), otherwise: `${SERVER.mainConfig} includes sshd_config.d. Make this script anew without --inline.` }
      : { argv: sh(`[ -d /etc/ssh/sshd_config.d ] && ${INCLUDES}`, SERVER.mainConfig), otherwise: `${SERVER.mainConfig} does not include sshd_config.d for every login. Make this script anew with --inline.` },
    old
      ? { argv: sh(`! { ${knows}; }`), otherwise: 'This sshd is OpenSSH 9.2 or newer. Make this script anew without --old-openssh.' }
      : { argv: sh(knows), otherwise: 'This sshd is older than OpenSSH 9.2. Make this script anew with --old-openssh.' },
    selinuxRequires(selinux),
  ];
}

const selinuxRequires = (selinux: boolean): Requirement =>
  selinux
    ? { argv: sh('[ "$(cat /sys/fs/selinux/enforce)" = 1 ]'), otherwise: 'SELinux does not enforce here. Make this script anew without --selinux.' }
    : { argv: sh('[ "$(cat /sys/fs/selinux/enforce)" != 1 ]'), otherwise: 'SELinux enforces here. Make this script anew with --selinux.' };
