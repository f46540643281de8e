#!/bin/bash
# libvirtd and virtlogd where no service manager runs (a container, a test machine).
#   libvirtd.sh up ACCEL   starts them, detached, unless they run; ACCEL is kvm, or tcg to hide a /dev/kvm that does not work
#   libvirtd.sh down       ends both again, if they were started so; guests go on
#   libvirtd.sh serve ACCEL   what `up` leaves running: starts either again when it ends; TERM ends both and leaves guests be
#
# - The sockets, state and logs are at libvirt's usual places: virsh, virt-manager and the next Horcrux find them.
# - tini -s reaps for a PID 1 that does not: libvirt would wait seconds for each QEMU probe. It is no PID namespace of its
#   own: were tini, this script or libvirtd killed, guests would go on, and the next libvirtd finds them again.
# - A /dev/kvm that is there but does not work makes libvirt probe QEMU anew at every start of a guest (6 s instead of
#   0.35 s). In this mount namespace a read-only file covers it, which libvirt takes for "not usable".
# - QEMU runs as root here, since disks may lie where its own user may not go (/root/...), and without the mount namespace
#   that libvirt would give each guest. /etc/libvirt/qemu.conf itself is not changed: an edited copy covers it.
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
    ACCEL=as-it-is # not even root may mount here
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

cover() { # FILE TEXT: FILE reads as TEXT, and is read-only, in this mount namespace
  local copy
  copy=$(mktemp /run/horcrux-cover.XXXXXX)
  printf '%s' "$2" >"$copy"
  chmod 644 "$copy"
  mount --bind "$copy" "$1"
  mount -o remount,bind,ro "$1"
  rm "$copy"
}

prepare() { # before each start: a package update puts files there that nothing covers
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

keep() { # PROGRAM: runs it, and again when it ends, after pauses that grow while it does not stay up
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
  flock -n 9 || exit 0 # another one is at it
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
