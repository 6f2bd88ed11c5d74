sudo revtun-setup render home --host pi@[2001:db8::1]:2222 -R [::1]:22222:[::1]:22 --key /root/.ssh/id_ed25519
