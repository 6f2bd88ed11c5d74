# Prints the hosts that ~/.ssh/config names, one a line, without patterns: for the completion of shells, so without
# Node.js. What stands in that file is only ever compared and globbed, never run.
blank=$(printf "\t ")
cr=$(printf "\r")

# Prints the words of a line, a line each; "…" is one word.
words_of() {
  rest=$1
  while [ -n "$rest" ]; do
    case $rest in
      ["$blank$cr"]*) rest=${rest#?}; continue ;;
      "#"*) return ;;
      \"*) rest=${rest#?}; word=${rest%%\"*}; rest=${rest#"$word"}; rest=${rest#?} ;;
      *) word=${rest%%["$blank$cr"]*}; rest=${rest#"$word"} ;;
    esac
    printf "%s\n" "$word"
  done
}

# In a subshell, for what it sets is its own. As ssh does, it follows Include 16 levels deep, and beyond gives up.
hosts_in() (
  [ "$2" -le 16 ] || exit 1
  if [ ! -f "$1" ] || [ ! -r "$1" ]; then exit 0; fi
  while IFS="=$blank" read -r keyword line || [ -n "$keyword" ]; do
    case $keyword in
      [Hh][Oo][Ss][Tt]) words_of "$line" ;;
      [Ii][Nn][Cc][Ll][Uu][Dd][Ee])
        words_of "$line" | while IFS= read -r path; do
          case $path in
            [~]/*) path=$HOME/${path#??} ;;
            /*) ;;
            *) path=$HOME/.ssh/$path ;;
          esac
          IFS=
          for file in $path; do hosts_in "$file" $(($2 + 1)) || exit 1; done
        done || exit 1 ;;
    esac
  done <"$1"
)

hosts_in "$HOME/.ssh/config" 0 | while IFS= read -r name; do
  case $name in
    "" | [!A-Za-z0-9_]* | *[!A-Za-z0-9_.:-]*) ;;
    *) printf "%s\n" "$name" ;;
  esac
done | sort -u
