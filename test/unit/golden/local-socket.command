sudo revtun-setup render db --host pi@tunl.example.com -L '/var/lib/my apps/db.sock:/run/postgresql/.s.PGSQL.5432' -L /var/lib/other/b.sock:localhost:1 --key /root/.ssh/id_ed25519
