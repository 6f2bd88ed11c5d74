revtun-setup render home --host pi@tunl.example.com --remote-port 22222 --key ~/.ssh/id_ed25519
