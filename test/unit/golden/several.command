sudo revtun-setup render home --host pi@tunl.example.com --remote-port 22222 -R 8080:printer.lan:80 -L 5432:db.internal:5432 -L 127.0.0.1:6379:localhost:6379 -D 1080 --key /root/.ssh/id_ed25519
