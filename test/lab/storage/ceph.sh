#!/bin/bash
# A Ceph cluster in memory: one monitor and one OSD on loopback, with cephx.
#   ceph.sh up DIR OWNER   starts it unless it runs; it ends when process OWNER ends. DIR/ceph.conf is that of its admin.
#   ceph.sh needs          lists what is missing on this machine, one line each
# There is no manager: `ceph df` counts nothing, and `ceph osd df` and `ceph pg stat` wait for ever.
set -eu

needs() {
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$program (Debian: $package)"
  done <<'L'
ceph-mon ceph-mon
ceph-osd ceph-osd
ceph ceph-common
rbd ceph-common
L
  ls /usr/lib/*/qemu/block-rbd.so >/dev/null 2>&1 || echo "block-rbd.so (Debian: qemu-block-extra)"
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Runs a daemon of the cluster until OWNER has ended.
daemon() { # NAME PROGRAM ARGS...
  local name=$1; shift
  setsid bash -c 'owner=$1 out=$2; shift 2; "$@" >"$out" 2>&1 </dev/null 8>&- & child=$!
    while kill -0 "$owner" 2>/dev/null && kill -0 "$child" 2>/dev/null; do sleep 1; done; kill -KILL "$child" 2>/dev/null' \
    bash "$OWNER" "$DIR/$name.out" "$@" </dev/null >/dev/null 2>&1 8>&- &
}

up() {
  mkdir -p "$DIR"
  exec 8>"$DIR/lock"
  flock 8
  if [ -e "$DIR/up" ]; then return 0; fi
  mkdir -p "$DIR/mon" "$DIR/osd"
  local fsid osd_uuid port id conf=$DIR/ceph.conf
  fsid=$(cat /proc/sys/kernel/random/uuid) osd_uuid=$(cat /proc/sys/kernel/random/uuid) port=$(free_port)
  cat >"$conf" <<X
[global]
fsid = $fsid
mon host = v2:127.0.0.1:$port
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd crush chooseleaf type = 0
mon max pg per osd = 1000
mon allow pool size one = true
osd objectstore = memstore
memstore device bytes = 4294967296
mon data = $DIR/mon
osd data = $DIR/osd
keyring = $DIR/keyring
run dir = $DIR
admin socket =
log file =
log to stderr = true
err to stderr = true
public addr = 127.0.0.1
cluster addr = 127.0.0.1
X
  ceph-authtool --create-keyring "$DIR/keyring" --gen-key -n mon. --cap mon 'allow *' >/dev/null
  ceph-authtool "$DIR/keyring" --gen-key -n client.admin --cap mon 'allow *' --cap osd 'allow *' >/dev/null
  monmaptool --create --fsid "$fsid" --addv a "[v2:127.0.0.1:$port]" "$DIR/monmap" >/dev/null
  ceph-mon -c "$conf" -i a --mkfs --monmap "$DIR/monmap" --keyring "$DIR/keyring" 2>/dev/null
  daemon mon ceph-mon -c "$conf" -i a -f
  local ceph="ceph -c $conf --connect-timeout 30"
  id=$($ceph osd new "$osd_uuid" 2>/dev/null)
  $ceph auth get-or-create "osd.$id" mon 'allow profile osd' osd 'allow *' -o "$DIR/osd/keyring" 2>/dev/null
  ceph-osd -c "$conf" -i "$id" --mkfs --osd-uuid "$osd_uuid" --keyring "$DIR/osd/keyring" 2>/dev/null
  daemon osd ceph-osd -c "$conf" -i "$id" -f --keyring "$DIR/osd/keyring"
  for _ in $(seq 150); do
    if $ceph osd stat 2>/dev/null | grep -q '1 up'; then touch "$DIR/up"; return 0; fi
    sleep 0.2
  done
  cat "$DIR"/*.out >&2
  return 1
}

case ${1:-} in
  up) DIR=$2 OWNER=$3; up ;;
  needs) needs ;;
  *) sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
