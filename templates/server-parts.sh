# Stands before the scripts that look at a server. Each part of what they print is a line of a name and its bytes in
# base64, so that no file and no name can pass for another part.
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

part() {
  printf '%s ' "$1"
  shift
  "$@" 2>/dev/null | base64 | tr -d '\n'
  echo
}
