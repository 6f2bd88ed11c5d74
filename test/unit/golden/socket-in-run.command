sudo revtun-setup render docker --host pi@tunl.example.com -R 127.0.0.1:2375:/run/docker.sock -R /run/tunnel/docker.sock:/run/docker.sock --accept-risk=stale-socket --key /root/.ssh/id_ed25519
