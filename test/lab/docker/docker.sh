#!/bin/bash
# A Docker engine of one's own for the compose test, with an image that stands for the Dockerfile's FROM, since no image
# registry is needed for it: Debian by mmdebstrap, Node of this package, npm of this machine.
#   docker.sh needs          lists what is missing on this machine, one line each
#   docker.sh compose DIR    fetches Docker Compose 2 (Debian 12 has 1) into DIR, without touching the system's packages
#   docker.sh serve DIR      runs the engine at DIR/docker.sock until it is told to end. It changes no firewall rule of this
#                            machine, and its images have no way out but the host's network.
#   docker.sh clean DIR      removes what an engine that has ended leaves outside DIR
#   docker.sh base DIR       makes the image
set -eu
cmd=$1; DIR=${2:-}
ROOT=$(cd "$(dirname "$0")/../../.." && pwd)

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$program (Debian: $package)"
  done <<'L'
dockerd docker.io
mmdebstrap mmdebstrap
tini tini
apt-get apt
L
}

mirror() { # where this machine's own Debian comes from
  apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' | awk -v suite=bookworm '$2 == suite { print $1; exit }'
}

compose() {
  local A=$DIR/apt; mkdir -p "$A/lists/partial" "$A/cache"
  echo "deb $(mirror) sid main" >"$A/sources.list"
  local options=(-qq -o "Dir::Etc::sourcelist=$A/sources.list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$A/lists"
    -o "Dir::Cache=$A/cache" -o APT::Sandbox::User=root
    -o Acquire::Check-Valid-Until=false) # a mirror may be a few weeks old; its signature is checked all the same
  apt-get "${options[@]}" update
  (cd "$A" && apt-get "${options[@]}" download docker-compose)
  dpkg-deb -x "$A"/docker-compose_*.deb "$A/root"
  mv "$A/root/usr/libexec/docker/cli-plugins/docker-compose" "$DIR/docker-compose"
  rm -r "$A"
}

serve() {
  mkdir -p "$DIR/data"
  exec dockerd --data-root "$DIR/data" --exec-root "$DIR/exec" -H "unix://$DIR/docker.sock" --pidfile "$DIR/dockerd.pid" \
    --cgroup-parent "/${DIR##*/}" --bridge=none --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false
}

clean() { # the kernel's folders of control groups, all empty by now
  find /sys/fs/cgroup -mindepth 2 -depth -type d -path "*/${DIR##*/}*" -exec rmdir {} +
}

base() {
  local npm; npm=$(dirname "$(dirname "$(realpath "$(command -v npm)")")")
  local packages=ca-certificates,nats-server,libvirt0,qemu-utils,genisoimage
  mmdebstrap --quiet --variant=apt --include="$packages" --dpkgopt=force-unsafe-io --aptopt='Apt::Install-Recommends "false"' \
    --customize-hook="copy-in $ROOT/node_modules/node/bin/node /usr/local/bin" \
    --customize-hook='mkdir -p "$1/usr/local/lib/node_modules"' \
    --customize-hook="copy-in $npm /usr/local/lib/node_modules" \
    --customize-hook='ln -s ../lib/node_modules/npm/bin/npm-cli.js "$1/usr/local/bin/npm"' \
    --customize-hook='copy-in /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs' \
    --customize-hook='chroot "$1" useradd --uid 1000 node' \
    bookworm - "$(mirror)" |
    docker -H "unix://$DIR/docker.sock" import -c 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' \
      - "$(sed -n 's/^FROM \(.*\) AS .*/\1/p' "$ROOT/Dockerfile")"
}

case $cmd in
  needs) needs ;;
  compose) compose ;;
  serve) serve ;;
  clean) clean ;;
  base) base ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
