sudo revtun-setup render home --host pi@tunl.example.com --remote-port 0 --accept-risk dynamic-port --key /root/.ssh/id_ed25519
