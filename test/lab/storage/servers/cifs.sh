#!/bin/bash
# An SMB server on loopback: Samba.
#   cifs.sh up DIR OWNER   starts it unless it runs; it ends with process OWNER. DIR/port is its port; it shares DIR/export as
#                          `vms` with user root, whose password is in DIR/password
#   cifs.sh needs          lists what is missing on this machine, one line each
set -eu
. "$(dirname "$0")/daemon.sh"

needs() {
  command -v smbd >/dev/null || echo "smbd (Debian: samba)"
  command -v mount.cifs >/dev/null || echo "mount.cifs (Debian: cifs-utils)"
}

up() {
  mkdir -p "$DIR"/{export,private,state,cache,lock,pid}
  [ -e "$DIR/port" ] || free_port >"$DIR/port"
  local port conf=$DIR/smb.conf; port=$(cat "$DIR/port")
  if answers "$port"; then return 0; fi
  cat >"$conf" <<X
[global]
server role = standalone server
smb ports = $port
interfaces = 127.0.0.1
bind interfaces only = yes
disable netbios = yes
server min protocol = SMB3
private dir = $DIR/private
state directory = $DIR/state
cache directory = $DIR/cache
lock directory = $DIR/lock
pid directory = $DIR/pid
ncalrpc dir = $DIR/lock/ncalrpc
log file = $DIR/smbd.log
max log size = 0
load printers = no
disable spoolss = yes
strict sync = yes
[vms]
path = $DIR/export
read only = no
valid users = root
force create mode = 0600
X
  if [ ! -e "$DIR/password" ]; then
    (umask 077; head -c 18 /dev/urandom | base64 | tr '+/' 'ab' >"$DIR/password")
    { cat "$DIR/password" "$DIR/password"; } | smbpasswd -c "$conf" -s -a root >/dev/null 2>&1
  fi
  daemon smbd smbd --foreground --no-process-group -s "$conf"
  listens "$port"
}

case ${1:-} in
  up) DIR=$2 OWNER=$3; up ;;
  needs) needs ;;
  *) sed -n '2,5s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
