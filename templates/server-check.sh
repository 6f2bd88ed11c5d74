# What devices would meet, for root: sh -c THIS sh PORT ACCOUNT….
# As a login from outside would be met: a documentation address (RFC 5737) is nobody's.
effective() { sshd -T -C "user=$1,host=192.0.2.1,addr=192.0.2.1,laddr=192.0.2.2,lport=$port"; }
# Lines of "FILE NUL NUMBER:line".
configuration() { grep -aHnZ '' /etc/ssh/sshd_config /etc/ssh/sshd_config.d/*.conf; }

port=$1
shift
part configuration configuration
for account; do part "effective:$account" effective "$account"; done
