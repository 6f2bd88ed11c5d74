import type { Explanation } from './catalogue.ts';
import { SERVER_ADMITS } from './explainedServer.ts';

/** Findings about the way to the server, up to the login. */
const WAY = {
  'name-unknown': {
    symptom: 'The tunnel does not come up; its journal says "Could not resolve hostname … Name or service not known".',
    cause: "The name servers answer, and say that there is no such name: a typing error, a name that is gone, or one that only another network's name servers know. Behind a jump host, that host asks for the name.",
    cure: 'See what this machine makes of it: getent ahosts HOST\nName another: revtun-setup install NAME --host HOST',
  },
  'dns-silent': {
    symptom: 'The same name works at times, or from elsewhere; the journal says "Temporary failure in name resolution".',
    cause: 'No name server answers this machine: none is configured, the network drops UDP port 53, or the router that passes questions on is down.',
    cure: 'See which are asked: cat /etc/resolv.conf (with systemd-resolved: resolvectl status)\nWhether they answer: getent ahosts debian.org\nWithout them: revtun-setup install NAME --host ADDRESS',
  },
  'network-down': {
    symptom: 'This machine reaches nothing at all.',
    cause: 'No network interface is up, or none has a default route: a cable, a Wi-Fi password, a DHCP server.',
    cure: 'See: ip -br addr; ip route; journalctl -u NetworkManager -u systemd-networkd -u dhcpcd -n 50\nThe tunnel comes up by itself within seconds of the network.',
  },
  'no-route': {
    symptom: 'Other hosts can be reached, the server cannot: "No route to host".',
    cause: "A route of this machine leads nowhere, or a router on the way says that it knows none; a firewall may answer the same in the server's stead.",
    cure: 'Which way it goes: ip route get ADDRESS\nWhere it ends: traceroute ADDRESS',
  },
  'blocked-here': {
    symptom: 'A connection fails at once with "Permission denied" or "Operation not permitted", before anything has left this machine.',
    cause: 'A rule of this machine forbids it: a route of kind "prohibit", a packet filter, SELinux or AppArmor.',
    cure: 'See: ip route get ADDRESS; sudo nft list ruleset; sudo iptables -S OUTPUT; sudo ausearch -m avc -ts recent',
  },
  'server-refused': {
    symptom: '"Connection refused": the server is there, and nothing listens on that port.',
    cause: 'sshd does not run, or listens on another port; or a firewall answers with a reset.',
    cure: 'On the server: systemctl status ssh (RHEL: sshd); sudo ss -ltnp\nAnother port: revtun-setup install NAME --port PORT',
  },
  'server-silent': {
    symptom: '"Connection timed out": no answer at all.',
    cause: "The server is off or has another address, or a firewall drops the packets: the server's, its provider's, or this machine's own (nftables drops without a word here as well).",
    cure: 'Whether it is up: ping ADDRESS; from another network: nc -vz ADDRESS 22\nOn this machine: sudo nft list ruleset\nOn the server: sudo ufw status; sudo nft list ruleset',
  },
  'not-ssh': {
    symptom: 'Something answers on the port, but ssh says "Connection closed" or "invalid format".',
    cause: 'Another program listens there, such as a web or mail server, or a Wi-Fi portal answers in its stead.',
    cure: 'On the server: sudo ss -ltnp shows on which port sshd listens\nrevtun-setup install NAME --port PORT',
  },
  'server-mute': {
    symptom: '"Connection timed out during banner exchange": the connection is accepted, and then nothing comes.',
    cause: 'The kernel of the server still accepts, but sshd does not get to answer: out of memory, out of disk, stopped. A load balancer with nothing behind it does the same.',
    cure: "At the server's console: uptime; free -h; systemctl status ssh; sudo systemctl restart ssh (sessions that stand go on; RHEL: sshd)",
  },
  'server-closed': {
    symptom: '"Connection closed" or "Connection reset by peer" before ssh gets to the key.',
    cause: 'sshd accepts and gives up at once (a configuration that it cannot read, no host key), or a ban closes the connection: fail2ban, /etc/hosts.deny.',
    cure: 'On the server: sudo sshd -t; sudo journalctl -u ssh -u sshd -n 50; sudo fail2ban-client status sshd',
  },
  'server-busy': {
    symptom: 'Some logins get through and some are closed at once; the server says "Exceeded MaxStartups".',
    cause: 'More logins are under way at once than sshd takes (MaxStartups, 10:30:100 by default): guessers of passwords, or many devices at the same moment.',
    cure: 'It passes; the tunnel tries again. On the server: sudo journalctl -u ssh -u sshd -n 100, then a firewall against guessers, or MaxStartups 100:30:300 in sshd_config',
  },
  banned: {
    symptom: 'All logins from this address are closed at once, also with good keys; from another address they work. sshd says "Not allowed at this time".',
    cause: 'sshd (OpenSSH 9.8 and newer, PerSourcePenalties) bans an address whose logins fail again and again. Everybody behind the same router shares it.',
    cure: 'Find who fails: on the server, sudo journalctl -u ssh -u sshd | grep -E "penalty|Failed|refused"\nIt ends by itself within 10 min of the last failure. To exempt the address: PerSourcePenaltyExemptList ADDRESS in sshd_config',
  },
  'host-key-changed': {
    symptom: 'ssh warns: "REMOTE HOST IDENTIFICATION HAS CHANGED!"',
    cause: 'The server (or a jump host) shows another key than the pinned one: it was set up anew, the name leads to another machine, or somebody is in between.',
    cure: 'At the server: ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub\nIf that is the fingerprint that is shown here: revtun-setup install NAME --host-key SHA256:…',
  },
  'host-key-unknown': {
    symptom: '"No … host key is known for … and you have requested strict checking".',
    cause: 'The server shows a key of a kind for which none is pinned; its former kinds of key are gone.',
    cure: 'At the server: ssh-keygen -lf /etc/ssh/ssh_host_ecdsa_key.pub (or of the kind that it shows)\nrevtun-setup install NAME --host-key SHA256:…',
  },
  'no-common-algorithm': {
    symptom: '"Unable to negotiate … no matching … found".',
    cause: 'One of the two is so old, or so strictly configured, that they have no cipher, key exchange or kind of host key in common.',
    cure: 'Upgrade the older one. What this side offers: ssh -Q kex; ssh -Q cipher; ssh -Q HostKeyAlgorithms\nWhat the other takes: sudo sshd -T | grep -iE "^(kex|cipher|hostkeyalg)"',
  },
  'packets-lost': {
    symptom: 'The connection stands and the server even says its version, and then ssh hangs: "expecting SSH2_MSG_KEX_ECDH_REPLY". Small pings pass.',
    cause: 'Packets of full size get lost: a tunnel or PPPoE on the way has a smaller MTU, and somebody drops the ICMP that would say so.',
    cure: 'What still fits: ping -M do -s 1372 HOST (and smaller)\nUntil the way is mended: sudo ip link set dev INTERFACE mtu 1280',
  },
  'key-refused': {
    symptom: '"Permission denied (publickey)".',
    cause: 'The server does not accept the key for this account: the line is missing, in the wrong home, in a file that others may write to, or the account may not log in (AllowUsers, a shell that is not there).',
    cure: 'doctor prints the line to append to ~/.ssh/authorized_keys there. Then on the server: chmod go-w ~ ~/.ssh ~/.ssh/authorized_keys; sudo journalctl -u ssh -u sshd -n 20\nFor an account of revtun-setup: revtun-setup server add DEVICE --key FILE.pub SERVER',
  },
  'login-silent': {
    symptom: 'The host key is right, and then ssh hangs.',
    cause: 'Something that sshd asks while it lets a person in does not answer: AuthorizedKeysCommand, PAM with LDAP or a second factor, a home directory on a network.',
    cure: 'On the server: sudo journalctl -u ssh -u sshd -n 50; time getent passwd USER; uptime',
  },
  'login-closed': {
    symptom: 'The key is right, and the connection is closed all the same.',
    cause: "The account has expired, /run/nologin is there (the server is shutting down), PAM says no, or a limit of sessions is reached. An account of revtun-setup takes no more than ten sessions.",
    cure: 'On the server: sudo journalctl -u ssh -u sshd -n 50; sudo chage -l USER; ls /run/nologin',
  },
  'ssh-option': {
    symptom: 'ssh ends at once: "Bad configuration option" or "Bad SSH2 cipher spec".',
    cause: 'The tunnel was installed with an option that the ssh of this machine does not know; perhaps it was downgraded.',
    cure: 'See what it knows: ssh -V; ssh -Q cipher\nrevtun-setup install NAME --cipher default',
  },
  'ssh-failed': {
    symptom: 'ssh fails with words that nobody has met before.',
    cause: 'Unknown: what ssh said is printed.',
    cure: 'revtun-setup logs NAME shows what else it said.',
  },
} as const satisfies Record<string, Explanation>;

/** Findings about the way to the server, the server, and what comes back from it. */
export const THERE = { ...WAY, ...SERVER_ADMITS } as const satisfies Record<string, Explanation>;
