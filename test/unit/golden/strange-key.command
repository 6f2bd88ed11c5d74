sudo revtun-setup render home --host 'pi$@tunl.example.com' --remote-port 22222 --key '/srv/100%/${HOME}/"é😀":key'
