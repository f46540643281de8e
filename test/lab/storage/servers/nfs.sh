#!/bin/bash
# An NFS server of version 4 on loopback: NFS-Ganesha, in user space, on a file system of its own.
#   nfs.sh up DIR OWNER   starts it unless it runs; it ends with process OWNER. DIR/port is its port, and DIR/export the
#                         folder that it exports as /vms
#   nfs.sh needs          lists what is missing on this machine, one line each
set -eu
. "$(dirname "$0")/daemon.sh"

needs() {
  command -v ganesha.nfsd >/dev/null || echo "ganesha.nfsd (Debian: nfs-ganesha)"
  ls /usr/lib/*/ganesha/libfsalvfs.so >/dev/null 2>&1 || echo "libfsalvfs.so (Debian: nfs-ganesha-vfs)"
  command -v mount.nfs >/dev/null || echo "mount.nfs (Debian: nfs-common)"
}

up() {
  mkdir -p "$DIR/export" "$DIR/recovery"
  [ -e "$DIR/port" ] || free_port >"$DIR/port"
  local port; port=$(cat "$DIR/port")
  if answers "$port"; then return 0; fi
  cat >"$DIR/ganesha.conf" <<X
NFS_CORE_PARAM { Protocols = 4; NFS_Port = $port; Bind_addr = 127.0.0.1; Enable_NLM = false; Enable_RQUOTA = false; Enable_UDP = false; }
NFSv4 { Graceless = true; Lease_Lifetime = 10; RecoveryBackend = fs; RecoveryRoot = $DIR/recovery; Minor_Versions = 1, 2; }
EXPORT { Export_Id = 1; Path = $DIR/export; Pseudo = /vms; Access_Type = RW; Squash = No_Root_Squash; SecType = sys; FSAL { Name = VFS; } }
X
  daemon ganesha ganesha.nfsd -F -f "$DIR/ganesha.conf" -L "$DIR/ganesha.log" -p "$DIR/ganesha.lock" -N NIV_WARN
  listens "$port"
}

case ${1:-} in
  up) DIR=$2 OWNER=$3; up ;;
  needs) needs ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
