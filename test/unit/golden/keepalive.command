sudo revtun-setup render home --host pi@tunl.example.com --remote-port 22222 --keepalive 60 --key /root/.ssh/id_ed25519
