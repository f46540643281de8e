#!/bin/bash
# A GlusterFS cluster of one server with one brick, at an address of its own on loopback: it refuses 127.0.0.0/8.
#   glusterfs.sh up DIR OWNER   starts it unless it runs; it ends with process OWNER. DIR/address is its address, and DIR/brick
#                               the brick of its volume `vms`
#   glusterfs.sh needs          lists what is missing on this machine, one line each
set -eu
. "$(dirname "$0")/daemon.sh"

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  command -v glusterd >/dev/null || echo "glusterd (Debian: glusterfs-server)"
  command -v mount.glusterfs >/dev/null || echo "mount.glusterfs (Debian: glusterfs-client)"
  [ -e /dev/fuse ] || echo "/dev/fuse"
}

up() {
  mkdir -p "$DIR"/{brick,lib,log,run}
  [ -e "$DIR/address" ] || echo "198.51.100.$((OWNER % 250 + 1))" >"$DIR/address"
  echo 24007 >"$DIR/port"
  local address; address=$(cat "$DIR/address")
  local ask="gluster --mode=script --glusterd-sock=$DIR/s"
  if $ask volume info vms >/dev/null 2>&1; then return 0; fi
  ip addr show dev lo | grep -q "$address/" || ip addr add "$address/32" dev lo
  cat >"$DIR/glusterd.vol" <<X
volume management
    type mgmt/glusterd
    option working-directory $DIR/lib
    option run-directory $DIR/run
    option glusterd-sockfile $DIR/s
    option transport-type socket
    option transport.socket.bind-address $address
    option transport.socket.listen-port 24007
end-volume
X
  daemon glusterd glusterd -N -f "$DIR/glusterd.vol" -l "$DIR/log/glusterd.log" -p "$DIR/glusterd.lock"
  # Its bricks are no children of it.
  setsid bash -c 'while kill -0 "$1" 2>/dev/null; do sleep 1; done; cat "$2"/run/vols/*/*.pid | xargs -r kill -KILL
    ip addr del "$3/32" dev lo' bash "$OWNER" "$DIR" "$address" </dev/null >/dev/null 2>&1 &
  for _ in $(seq 300); do $ask pool list >/dev/null 2>&1 && break; sleep 0.2; done
  $ask volume create vms "$address:$DIR/brick" force >/dev/null
  $ask volume start vms >/dev/null
}

case ${1:-} in
  up) DIR=$2 OWNER=$3; up ;;
  needs) needs ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
