sudo revtun-setup render a-name-of.forty_characters-in-all-012345 --host pi@tunl.example.com --remote-port 22222 --generate-key
