# on a machine with: namespaces
revtun-setup render home --host pi@tunl.example.com -L /home/ann/db.sock:/run/postgresql/s --key ~/.ssh/id_ed25519
