# Prints the names of the tunnels that are installed here, one a line: for the completion of shells, so without Node.js.
for file in /etc/systemd/system/revtun-*.service "$HOME"/.config/systemd/user/revtun-*.service; do
  if [ ! -f "$file" ] || [ ! -r "$file" ]; then continue; fi
  IFS= read -r line <"$file" || continue
  case $line in
    "# Written by revtun-setup"*) ;;
    *) continue ;;
  esac
  name=${file##*/revtun-}
  name=${name%.service}
  case $name in
    "" | *[!A-Za-z0-9_.-]*) ;;
    *) printf "%s\n" "$name" ;;
  esac
done
