sudo revtun-setup render app --host pi@tunl.example.com -R '8080:/home/ann/my app/web.sock' --key /root/.ssh/id_ed25519
