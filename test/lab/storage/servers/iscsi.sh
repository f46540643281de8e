#!/bin/bash
# An iSCSI server on loopback: tgt, in user space.
#   iscsi.sh up DIR OWNER              starts it unless it runs; it ends with process OWNER. DIR/port is its port
#   iscsi.sh target DIR ID NAME USER   makes target NAME with number ID, for USER with the password of DIR/password
#   iscsi.sh lun DIR ID LUN MIB        gives a target a unit of so many MiB, in DIR/ID-LUN
#   iscsi.sh unlun DIR ID LUN          takes it away
#   iscsi.sh needs                     lists what is missing on this machine, one line each
set -eu
. "$(dirname "$0")/daemon.sh"

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  command -v tgtd >/dev/null || echo "tgtd (Debian: tgt)"
  command -v iscsi-ls >/dev/null || echo "iscsi-ls (Debian: libiscsi-bin)"
  ls /usr/lib/*/qemu/block-iscsi.so >/dev/null 2>&1 || echo "block-iscsi.so (Debian: qemu-block-extra)"
}

up() {
  mkdir -p "$DIR"
  [ -e "$DIR/port" ] || free_port >"$DIR/port"
  [ -e "$DIR/control" ] || echo "$(($(cat "$DIR/port") % 32000 + 1))" >"$DIR/control"
  [ -e "$DIR/password" ] || (umask 077; head -c 9 /dev/urandom | base64 | tr '+/' 'ab' >"$DIR/password")
  local port; port=$(cat "$DIR/port")
  if answers "$port"; then return 0; fi
  daemon tgtd tgtd -f -C "$(cat "$DIR/control")" --iscsi "portal=127.0.0.1:$port"
  listens "$port"
}

admin() { tgtadm -C "$(cat "$DIR/control")" --lld iscsi "$@"; }

target() { # ID NAME USER
  admin --mode target --op new --tid "$1" --targetname "$2"
  admin --mode account --op new --user "$3" --password "$(cat "$DIR/password")" 2>/dev/null || true
  admin --mode account --op bind --tid "$1" --user "$3"
  admin --mode target --op bind --tid "$1" --initiator-address ALL
}

lun() { # ID LUN MIB
  truncate -s "${3}M" "$DIR/$1-$2"
  admin --mode logicalunit --op new --tid "$1" --lun "$2" --backing-store "$DIR/$1-$2"
}

case ${1:-} in
  up) DIR=$2 OWNER=$3; up ;;
  target | lun) verb=$1 DIR=$2; shift 2; "$verb" "$@" ;;
  unlun) DIR=$2; admin --mode logicalunit --op delete --tid "$3" --lun "$4" ;;
  needs) needs ;;
  *) sed -n '2,8s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
