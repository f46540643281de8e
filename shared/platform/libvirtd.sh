#!/bin/bash
# Runs libvirtd and virtlogd without a service manager (in a container, on a test machine).
#   libvirtd.sh up ACCEL   starts them, detached, unless they run; ACCEL is kvm, or tcg to hide an unusable /dev/kvm
#   libvirtd.sh down       stops both, if they were started by `up`; guests continue
#   libvirtd.sh serve ACCEL   the supervisor started by `up`: restarts either daemon; TERM stops both, guests continue
#
# - Sockets, state and logs are at libvirt's default places, for virsh, virt-manager and the next Horcrux.
# - tini -s reaps zombies if PID 1 does not; otherwise libvirt waits seconds for each QEMU probe. There is no separate PID
#   namespace: if tini, this script or libvirtd is killed, guests continue, and the next libvirtd finds them.
# - With an unusable /dev/kvm libvirt probes QEMU again at every start of a guest (6 s instead of 0.35 s). In this mount
#   namespace a read-only file covers it, which libvirt treats as unusable.
# - QEMU runs as root, because disks may lie in folders closed to its own user (/root/...), and without libvirt's mount
#   namespace per guest. /etc/libvirt/qemu.conf is not changed: an edited copy covers it.
set -eu
LOCK=/run/horcrux-libvirtd.lock
LOG=/var/log/libvirt/libvirtd.log
ACCEL=${2:-tcg}

up() {
  mkdir -p /run/libvirt /var/log/libvirt
  local before=(setsid)
  if unshare --mount true 2>/dev/null; then
    before+=(unshare --mount --propagation slave)
  else
    ACCEL=as-it-is # root has no permission to mount here
  fi
  if command -v tini >/dev/null; then before+=(tini -s --); fi
  "${before[@]}" bash "$0" serve "$ACCEL" </dev/null >>"$LOG" 2>&1 &
}

down() {
  exec 9>>"$LOCK"
  ! flock -n 9 || exit 0
  kill "$(cat "$LOCK")"
  flock -w 20 9
}

cover() { # FILE TEXT: covers FILE by a read-only file with TEXT, in this mount namespace
  local copy
  copy=$(mktemp /run/horcrux-cover.XXXXXX)
  printf '%s' "$2" >"$copy"
  chmod 644 "$copy"
  mount --bind "$copy" "$1"
  mount -o remount,bind,ro "$1"
  rm "$copy"
}

prepare() { # before each start: a package update replaces the covered files
  [ "$ACCEL" != as-it-is ] || return 0
  if [ "$ACCEL" = tcg ] && [ -c /dev/kvm ]; then cover /dev/kvm ""; fi
  if ! grep -q '^# by Horcrux' /etc/libvirt/qemu.conf; then
    cover /etc/libvirt/qemu.conf "# by Horcrux, for the libvirtd that it started
user = \"root\"
group = \"root\"
namespaces = []
$(grep -vE '^[[:space:]]*(user|group|namespaces)[[:space:]]*=' /etc/libvirt/qemu.conf)
"
  fi
}

keep() { # PROGRAM: runs it and restarts it with growing back-off
  local pause=1 since child
  trap 'kill "$child"; wait "$child"; exit 0' TERM
  while :; do
    prepare
    since=$SECONDS
    "$1" & child=$!
    wait "$child" || true
    [ $((SECONDS - since)) -lt 30 ] || pause=1
    echo "$(date -Is) $1 ended; it is started again in $pause s"
    sleep "$pause" & child=$!
    wait "$child" || true
    pause=$((pause < 16 ? pause * 2 : 30))
  done
}

serve() {
  exec 9>>"$LOCK"
  flock -n 9 || exit 0 # another instance is running
  echo $$ >"$LOCK"
  prepare
  keep virtlogd 9>&- & local log=$!
  keep libvirtd 9>&- & local daemon=$!
  trap 'kill "$log" "$daemon"; wait; exit 0' TERM
  wait
}

case ${1:-} in
  up) up; exit ;;
  down) down; exit ;;
  serve) serve; exit ;;
  *) sed -n '2,6p' "$0"; exit 2 ;;
esac
