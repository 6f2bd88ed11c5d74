# What is to be known of a server's end, for root: sh -c THIS sh PATH…, where the last PATH is the directory of keys.
# However many devices there are, no program is started for each.
umask 077

# A version that knows no -V says its own all the same.
openssh() { sshd -V 2>&1; }
settings() { printf '%s\n' "$settings"; }
complaint() { sshd -t 2>&1; }
# sshd writes its pid file anew whenever it has read its configuration; while it debugs, it names the files of it.
# shellcheck disable=SC2016 # the words are those of the shell within
unread() {
  pid_file=$(settings | sed -n 's/^pidfile //p')
  [ -f "$pid_file" ] || return
  sshd -T -ddd 2>&1 | tr -d '\r' | sed -n 's/^debug2: load_server_config: filename //p' | xargs -r -d '\n' sh -c 'find "$@" -newercm "$0"' "$pid_file"
}
host_keys() {
  settings | while read -r keyword path; do
    if [ "$keyword" = hostkey ]; then cat -- "$path.pub"; fi
  done
}
tools() {
  for tool in semanage restorecon; do command -v "$tool" >/dev/null && echo "$tool"; done
  [ -d /run/systemd/system ] && echo systemd
  [ "$(cat /sys/fs/selinux/enforce)" = 1 ] && echo enforcing
}
# In this order: is-active answers each with a line.
units() { systemctl is-active ssh.service sshd.service ssh.socket sshd.socket; }
accounts() { awk -F: '$1 ~ /^revtun[-_]/ || ($3 > 65535 && $3 < 100000)' /etc/passwd; }
groups() { awk -F: '$1 ~ /^revtun-/' /etc/group; }
nodes() { find "$@" -maxdepth 0 -printf '%p\0%y\0%m\0%U\0%G\0'; }
empty_directories() { find "$@" -maxdepth 0 -type d -empty -printf '%p\0'; }
key_nodes() { find "$keys" -mindepth 1 -maxdepth 1 -printf '%f\0%y\0%m\0%U\0%G\0'; }
# Lines of "FILE NUL line".
key_lines() { find "$keys" -mindepth 1 -maxdepth 1 -type f ! -name '*[!0-9]*' -exec grep -aHZ '' {} +; }
clock() {
  date +%s
  cut -d ' ' -f 1 /proc/uptime
  getconf CLK_TCK
  printf '\1\0' | od -An -tu2
}
# Sockets that listen (0A) or are connected (01): local, remote, state, uid, inode (proc(5)).
sockets() { cat /proc/net/tcp /proc/net/tcp6 | awk '$4 == "0A" || $4 == "01" { print $2, $3, $4, $8, $10 }'; }
processes() { printf '%s\n' "$processes"; }
pids() { processes | cut -s -d ' ' -f 1 | sed "s|.*|/proc/&/$1|"; }
started() { pids stat | xargs -r cat; }
opened() { pids fd | xargs -r sh -c 'exec find "$@" -lname "socket:*" -printf "%h %l\n"' sh; }

for keys; do :; done
settings=$(sshd -T 2>/dev/null)
# Of accounts in the range of ours.
processes=$(find /proc -maxdepth 1 -name '[1-9]*' -uid +65535 -uid -100000 -printf '%f %U\n' 2>/dev/null)
part openssh openssh
part settings settings
part complaint complaint
part unread unread
part hostkeys host_keys
part tools tools
part units units
part accounts accounts
part groups groups
part ephemeral cat /proc/sys/net/ipv4/ip_local_port_range
part clock clock
part sockets sockets
part processes processes
part started started
part opened opened
part nodes nodes "$@"
part empty empty_directories "$@"
part keynodes key_nodes
part keylines key_lines
for path; do
  # One that cannot be read to its end is not told as if it were shorter.
  if [ -f "$path" ] && bytes=$(base64 <"$path" 2>/dev/null); then
    printf 'file:%s ' "$path"
    printf %s "$bytes" | tr -d '\n'
    echo
  fi
done
