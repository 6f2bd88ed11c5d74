exists() { [ -e "$1" ] || [ -L "$1" ]; }

# $1: a file, which need not be there; $2: where to keep it
back_up() {
  if exists "$1"; then cp -pPR "$1" "$2"; else : >"$2.absent"; fi
}

# Where nothing was changed, nothing has to be written: a disk that is full may be why this is called.
unchanged() {
  [ -f "$1" ] && [ ! -L "$1" ] && [ ! -L "$2" ] && cmp -s "$1" "$2" && [ "$(stat -c %a:%u:%g "$1")" = "$(stat -c %a:%u:%g "$2")" ]
}

# $1: where back_up kept it; $2: the file
put_back_one() {
  if exists "$1"; then
    if unchanged "$1" "$2"; then return; fi
    # In two moves, so that nobody reads half a file.
    temporary=${2%/*}/.revtun-$$.tmp
    if cp -pPR "$1" "$temporary" && mv -f "$temporary" "$2"; then return; fi
    rm -f "$temporary"
    return 1
  fi
  [ ! -e "$1.absent" ] || rm -f "$2"
}
