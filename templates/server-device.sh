#!/bin/sh
# Written by revtun-setup; made anew by: revtun-setup server setup
# sshd asks it for the keys of device accounts (device admit UID), and it is their login shell: whatever such an
# account is logged in to run, this is what runs.
set -u
PATH=/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL

keys=/etc/ssh/revtun
most_sessions=10

# Prints the key line of an account. sshd knows nothing else of it, so in doubt this prints nothing.
admit() {
  case $1 in '' | *[!0-9]*) return 1 ;; esac
  # A device needs two sessions at most. More would be somebody filling the server's memory with a stolen key.
  sessions=0
  for scope in /sys/fs/cgroup/user.slice/user-"$1".slice/session-*.scope \
    /sys/fs/cgroup/systemd/user.slice/user-"$1".slice/session-*.scope; do
    [ ! -d "$scope" ] || sessions=$((sessions + 1))
  done
  [ "$sessions" -lt "$most_sessions" ] || return 1
  # As strict as sshd is with key files that it reads itself: root's, written by nobody else, and no symbolic link.
  trusted=$(find "$keys" "$keys/$1" -prune ! -type l -user 0 ! -perm -020 ! -perm -002)
  [ "$trusted" = "$keys
$keys/$1" ] && [ -f "$keys/$1" ] || return 1
  while IFS= read -r line; do
    case $line in
      '#'*) ;;
      'restrict,port-forwarding,permitlisten="'*'",permitopen="'*'" '*) printf '%s\n' "$line" && return ;;
      *) return 1 ;;
    esac
  done <"$keys/$1"
}

# Ends the account's other sessions, which may hold its port long after their device is gone. Only its own: the kernel
# refuses the others.
release() {
  ended=' '
  # What logind knows of is found here even where /proc hides sshd's processes (hidepid).
  for scope in /sys/fs/cgroup/user.slice/user-"$1".slice/session-*.scope \
    /sys/fs/cgroup/systemd/user.slice/user-"$1".slice/session-*.scope; do
    while read -r pid; do end "$pid"; done <"$scope/cgroup.procs"
  done 2>/dev/null
  for process in /proc/[0-9]*; do
    # shellcheck disable=SC3067 # -O: dash, bash and busybox have it
    [ -O "$process" ] || continue
    { read -r program <"$process/comm"; } 2>/dev/null || continue
    case $program in sshd | sshd-session) end "${process#/proc/}" ;; esac
  done
  # shellcheck disable=SC2086 # each is a word
  set -- $ended
  echo "released $#"
}

end() {
  # The parent serves the very login that asks.
  case "$ended $PPID $$ " in *" $1 "*) return ;; esac
  kill -KILL "$1" 2>/dev/null && ended="$ended$1 "
}

if [ "${1-}" = admit ]; then
  admit "${2-}"
  exit
fi
# Called by root or a person, it would end sessions that are no device's.
case $(id -un) in
  revtun-?*) ;;
  *) echo 'This is the login shell of device accounts; it does nothing for others.' >&2 && exit 1 ;;
esac
case ${SSH_ORIGINAL_COMMAND-} in
  hello) echo 'revtun-device 1' ;;
  *) release "$(id -u)" ;;
esac
