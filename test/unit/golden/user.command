# on a machine with: namespaces
revtun-setup render home --host pi@tunl.example.com --remote-port 22222 --generate-key
