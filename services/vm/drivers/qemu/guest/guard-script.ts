import { guardUnreadableSeconds } from '#shared/contracts/vm/fencing.ts'

/**
 * The guard of a guest, for sh. Arguments: lease file, epoch, UUID of the guest, folder for its state, name of the node.
 * The lease is read by a process of its own, since a read on dead storage hangs and cannot be killed. Times are those of
 * /proc/uptime, which no change of the clock moves and which counts while the host is suspended.
 */
export const guardScript = `lease=$1 epoch=$2 uuid=$3 state=$4 node=$5
exec </dev/null >/dev/null 2>&1
now() { read -r up _ </proc/uptime; echo "\${up%%.*}"; }
guard=$$
seen=$state/seen.$guard
echo "$guard" >"$state/pid"
(
  while kill -0 "$guard"; do
    at=$(now)
    if read -r found <"$lease" && [ "$found" -ge 0 ]; then
      echo "$at $found" >"$seen.new"
      mv "$seen.new" "$seen"
    fi
    sleep 1
  done
) &
reader=$!
last=$(now)
found=$epoch
while :; do
  if [ -e "$seen" ]; then read -r last found <"$seen"; fi
  [ "$found" -le "$epoch" ] || break
  [ $(($(now) - last)) -le ${guardUnreadableSeconds} ] || break
  sleep 1
done
isGuest() {
  case $(readlink "$1/exe") in *qemu*) tr '\\0' '\\n' <"$1/cmdline" | grep -qxF -- "$uuid" ;; *) false ;; esac
}
end=$(($(now) + 60))
reported=
while [ "$(now)" -le "$end" ]; do
  running=
  for process in /proc/[0-9]*; do
    if isGuest "$process"; then
      running=yes
      kill -KILL "\${process#/proc/}"
    fi
  done
  if [ -e "$seen" ]; then read -r last found <"$seen"; fi
  if [ -z "$running$reported" ] && [ "$found" -gt "$epoch" ]; then
    reported=yes
    (echo "$found $node" >"$lease.ended") &
  fi
  sleep 1
done
kill "$reader"
rm -rf "$state"
`
