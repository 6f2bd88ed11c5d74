sudo revtun-setup render home --host pi@tunl.example.com -R 127.0.0.1:1080 --accept-risk=remote-socks --key /root/.ssh/id_ed25519
