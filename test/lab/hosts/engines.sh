#!/bin/bash
# LXD and Incus of one's own, each with its data in a folder.
#   engines.sh needs               lists what is missing on this machine, one line each
#   engines.sh fetch DIR PACKAGE.. fetches Incus (Debian 12 has it only in backports) and more packages into DIR, without touching the system's
#   engines.sh serve lxd|incus DIR runs it at DIR/unix.socket until it is told to end
set -eu
cmd=$1

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$program (Debian: $package)"
  done <<'L'
lxd lxd
busybox busybox-static
apt-get apt
L
}

mirror() { # where this machine's own Debian comes from
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v suite=bookworm '$2 == suite { print $1; exit }'
}

fetch() {
  local dir=$1 A=$1/apt; mkdir -p "$A/lists/partial" "$A/cache"; shift
  echo "deb $(mirror) bookworm-backports main" >"$A/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$A/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$A/lists"
    -o "Dir::Cache=$A/cache" -o APT::Sandbox::User=root -o Acquire::Check-Valid-Until=false)
  apt-get "${options[@]}" update
  (cd "$A" && apt-get "${options[@]}" download incus-base libcowsql0 libraft0 "$@")
  for package in "$A"/*.deb; do dpkg-deb -x "$package" "$dir/root"; done
  rm -r "$A"
}

serve() {
  local kind=$1 dir=$2; mkdir -p "$dir"
  if [ "$kind" = lxd ]; then exec env "LXD_DIR=$dir" lxd --group root; fi
  local root=$dir/../root
  exec env "INCUS_DIR=$dir" "INCUS_SOCKET=$dir/unix.socket" "LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu)" \
    "$root/usr/libexec/incus/incusd" --group root
}

case $cmd in
  needs) needs ;;
  fetch) shift; fetch "$@" ;;
  serve) serve "$2" "$3" ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
