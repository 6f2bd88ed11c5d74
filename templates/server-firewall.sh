# What a server's own firewall lets in, for root: sh -c THIS.
# Rules that drop what no other rule lets in.
closed() {
  nft list ruleset | grep -E 'hook input .*policy drop'
  iptables -S INPUT | grep -E -- '-P INPUT DROP'
}
admitted() {
  ufw status
  firewall-cmd --list-ports
}

part closed closed
part admitted admitted
part ufw sh -c 'ufw status | head -n 1'
part firewalld firewall-cmd --state
