# on a machine with: aes
sudo revtun-setup render home --host pi@tunl.example.com --remote-port 22222 --key /root/.ssh/id_ed25519
