sudo revtun-setup render home --host pi@10.0.0.9 --jump me@gate.example.com:2200,root@[fe80::1%eth0] --remote-port 22222 --key /root/.ssh/id_ed25519
