sudo revtun-setup render home --host pi@tunl.example.com --remote-port 8443 --bind "*" --local-host nas.lan --local-port 443 --accept-risk public --key /root/.ssh/id_ed25519
