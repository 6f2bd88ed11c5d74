import type { Explanation } from './catalogue.ts';

/** Findings about what the server grants, and what comes back through it. */
export const SERVER_ADMITS = {
  'forwarding-disabled': {
    symptom: '"remote port forwarding failed"; through a jump host: "administratively prohibited".',
    cause: 'sshd forwards nothing for this account or key: AllowTcpForwarding no (or local), or a key line with "restrict" and without "port-forwarding". At a jump host, the same keeps the tunnel from getting through.',
    cure: 'On the server: AllowTcpForwarding remote (or yes) in sshd_config for the account, sudo systemctl reload ssh (RHEL: sshd); in authorized_keys: restrict,port-forwarding,…\nAt a jump host: AllowTcpForwarding local (or yes), and permitopen="SERVER:22"',
  },
  'listen-not-permitted': {
    symptom: '"remote port forwarding failed for listen port …", though the port is free.',
    cause: "The key line's permitlisten, or sshd's PermitListen, names another port or address. The address is compared as it is asked for: 127.0.0.1 is not localhost.",
    cure: 'doctor prints the line that the key should have in authorized_keys. On the server: sudo sshd -T -C user=USER | grep permitlisten',
  },
  'port-privileged': {
    symptom: '"remote port forwarding failed for listen port" with a number below 1024.',
    cause: 'Only root may listen there, and the tunnel logs in as somebody else.',
    cure: 'revtun-setup install NAME --remote-port PORT, from 1024 to 65535',
  },
  'port-taken': {
    symptom: '"remote port forwarding failed for listen port …".',
    cause: 'Another program, or the tunnel of another machine, listens on that port of the server.',
    cure: "On the server: sudo ss -ltnp 'sport = :PORT'\nEnd it there, or take another port: revtun-setup install NAME --remote-port PORT",
  },
  'port-held': {
    symptom: '"remote port forwarding failed for listen port …" after a power cut, a change of address or a dead link; it goes away after a long while.',
    cause: 'The server does not know yet that the former connection is dead, and its session keeps the port: up to 2 h 11 min, unless ClientAliveInterval says sooner.',
    cure: 'On the server, at once: sudo fuser -k PORT/tcp\nFor good: ClientAliveInterval 15 in its sshd_config, or an account that lets its port go on arrival: revtun-setup server setup, server add',
  },
  'port-mine': {
    symptom: '"remote port forwarding failed for listen port …", while logging in through that port works.',
    cause: 'This machine itself has the port already, by another service, autossh, or an ssh in somebody\'s terminal.',
    cure: 'See which: sudo ss -tnp dport = :22; ps -eo pid,user,lstart,args | grep [s]sh\nEnd it, or take another port: revtun-setup install NAME --remote-port PORT',
  },
  'forward-refused': {
    symptom: 'The server refuses a forward, and none of the known reasons fits.',
    cause: 'The server is none of OpenSSH, or has said no word of why.',
    cure: 'See its own log, at LogLevel VERBOSE: sudo journalctl -u ssh -u sshd -n 50',
  },
  'not-up': {
    symptom: 'The service does not come up, and none of the other findings fits.',
    cause: 'Something that could not be looked at (without root, or in time), or something on this machine that ends it: a drop-in with a time limit, a hook that fails, a limit of memory or processes.',
    cure: 'Ask again as root: sudo revtun-setup doctor NAME\nWhat it says: revtun-setup logs NAME\nWhich of its settings are not from revtun-setup: systemctl cat revtun-NAME',
  },
  'made-public': {
    symptom: 'The forwarded port can be reached from everywhere, though it was meant for the server alone.',
    cause: 'GatewayPorts yes in the server\'s sshd_config overrides what is asked for.',
    cure: 'On the server: GatewayPorts no (or clientspecified), sudo systemctl reload ssh (RHEL: sshd); then here: sudo systemctl restart revtun-NAME',
  },
  'made-loopback': {
    symptom: 'The forwarded port can be reached from the server only, though it was meant for everyone.',
    cause: 'GatewayPorts no (the default) makes every listener a local one, and tells nobody.',
    cure: 'On the server: GatewayPorts clientspecified in sshd_config (or in a Match block for the account), sudo systemctl reload ssh (RHEL: sshd); then here: sudo systemctl restart revtun-NAME',
  },
  firewalled: {
    symptom: 'The forwarded port can be reached from the server only, though it listens to everyone.',
    cause: 'A firewall rejects the others: of the server itself (ufw, firewalld, nftables), of its provider, or on the way.',
    cure: 'On the server: sudo ufw allow PORT/tcp, or sudo firewall-cmd --permanent --add-port=PORT/tcp && sudo firewall-cmd --reload; what rules there are: sudo nft list ruleset\nThe provider\'s: in its console',
  },
  'nothing-here': {
    symptom: 'The port on the server accepts connections and closes them at once.',
    cause: 'The tunnel is up and leads here, but nothing listens at its local target; or that is another machine, which does not answer this one.',
    cure: 'What listens: sudo ss -ltnp; of another machine: ping -c 3 HOST, then its program and its firewall\nFor ssh: sudo apt-get install openssh-server; sudo systemctl enable --now ssh (RHEL: sshd)',
  },
  'not-permitted-here': {
    symptom: 'Connections to the port on the server are closed at once, though the local socket works.',
    cause: "The local target is a Unix socket that the service's user may not open.",
    cure: 'Give it the group of the socket: sudo systemctl edit revtun-NAME, with [Service] and SupplementaryGroups=GROUP\nOf a tunnel of the user scope: sudo usermod -aG GROUP USER, then sudo systemctl restart user@UID.service',
  },
  'target-mute': {
    symptom: 'ssh through the tunnel hangs, and so does ssh to localhost on this machine.',
    cause: 'The sshd of this machine accepts connections and says nothing: it is stopped or stuck, or the machine is out of memory.',
    cure: 'systemctl status ssh; free -h; sudo systemctl restart ssh (sessions that stand go on; RHEL: sshd)',
  },
  'wrong-machine': {
    symptom: 'Logging in through the port gets to another machine, or warns of another host key.',
    cause: "Another sshd answers at the port: a redirection on the server, or the tunnel's target is not this machine.",
    cure: "On the server: sudo ss -ltnp 'sport = :PORT'; sudo nft list ruleset\nWhere the tunnel leads: revtun-setup status NAME",
  },
  silent: {
    symptom: 'The port on the server accepts connections, and nothing comes through.',
    cause: 'A dead session holds it, a redirection leads elsewhere, or the local target is stuck.',
    cure: "On the server: sudo ss -ltnp 'sport = :PORT'\nHere, let the tunnel begin anew: sudo systemctl restart revtun-NAME",
  },
  'no-listener': {
    symptom: 'The service is up, and "Connection refused" at the port on the server.',
    cause: 'Nothing listens there that this login can reach: a firewall of the server on its loopback, or a server that took the session away a moment ago.',
    cure: "On the server: sudo ss -ltnp 'sport = :PORT'; sudo nft list ruleset\nHere: sudo systemctl restart revtun-NAME",
  },
  unstable: {
    symptom: 'The tunnel works, but drops again and again.',
    cause: 'A weak link, a NAT that forgets connections, a server that ends sessions, a machine that runs out of memory. The reasons are in the journal.',
    cure: 'revtun-setup logs NAME\nOn the server: sudo journalctl -u ssh -u sshd -n 100; sudo dmesg | tail\nOf slow links: revtun-setup install NAME --keepalive 15',
  },
  'two-devices': {
    symptom: 'The tunnel drops every second or two, or leads to another machine at times.',
    cause: "Two machines log in with the same account and key, as a copied SD card does: each ends the other's session on arrival.",
    cure: 'On the copy: revtun-setup uninstall NAME; new host keys and a new key (rm /etc/ssh/ssh_host_*; ssh-keygen -A)\nThen give it an account of its own: revtun-setup server add NEW-NAME --key FILE.pub SERVER',
  },
} as const satisfies Record<string, Explanation>;
