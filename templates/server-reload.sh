# Has sshd read its configuration anew, if that is sound: sh -c THIS sh COMMAND…
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
sshd -t || exit

# ListenAddress may name ports that Port does not: these lines have both.
ports=$(sshd -T 2>/dev/null | sed -n 's/ rdomain .*//; s/^listenaddress .*:\([0-9][0-9]*\)$/\1/p' | sort -u | while read -r port; do printf ':%04X ' "$port"; done)
# By inode, of sockets that listen (proc(5)).
listeners() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v ports="$ports" '$4 == "0A" && index(ports, substr($2, index($2, ":")) " ") { printf "%s ", $10 }'; }
renewed() {
  for inode in $after; do
    case " $before" in *" $inode "*) ;; *) return 0 ;; esac
  done
  return 1
}
before=$(listeners)
"$@" || exit
# Nobody listened: what a login meets now, a new login will show.
[ -n "$before" ] || exit 0

# sshd closes its listeners and opens others: a login that comes before meets the old configuration, or nobody at all.
# Where systemd listens in its stead, they stay, and it has had its time after a while.
tries=50
lasting=
if systemctl --quiet is-active ssh.socket 2>/dev/null || systemctl --quiet is-active sshd.socket 2>/dev/null; then
  tries=30
  lasting=yes
fi
until after=$(listeners); renewed; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || break
  sleep 0.1
done
[ -n "$after" ] || { echo 'sshd does not listen any more' >&2; exit 1; }
renewed || [ -n "$lasting" ] || { echo 'sshd was told to read its configuration anew, and has not done so: it still listens as before' >&2; exit 1; }
# One address may be there before the other.
sleep 0.2
