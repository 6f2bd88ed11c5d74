# Has sshd read its configuration anew, if that is sound: sh -c THIS sh PORT COMMAND…, the port in four hex digits.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH
sshd -t || exit
port=$1
shift
listeners() { cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | awk -v port=":$port" '$4 == "0A" && index($2, port) { print $10 }'; }
before=$(listeners)
"$@" || exit
# sshd closes its listeners and opens others: a login that comes before meets the old configuration, or nobody at all.
# Where systemd listens in its stead, they stay.
tries=30
until after=$(listeners); [ -n "$after" ] && [ "$after" != "$before" ]; do
  tries=$((tries - 1))
  [ "$tries" -gt 0 ] || break
  sleep 0.1
done
[ -n "$after" ] || { echo 'sshd does not listen any more' >&2; exit 1; }
# One address may be there before the other.
sleep 0.2
