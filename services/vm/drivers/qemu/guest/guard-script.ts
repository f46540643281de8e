import { guardUnreadableSeconds } from '#shared/contracts/vm/fencing.ts'

/** Seconds without a read after which the storage of a guest that was ended counts as away. */
const awaySeconds = 5

/**
 * The guard of a guest, for sh. Arguments: lease file, epoch, UUID of the guest, folder for its state, name of the node.
 * The lease is read by a process of its own, since a read on dead storage hangs and cannot be killed. Times are those of
 * /proc/uptime, which no change of the clock moves and which counts while the host is suspended.
 * A guest that it ends without a newer epoch is noted in `STATE.ended` before: the epoch, and the state of its storage, kept
 * up to date until the lease is taken over or another guard is started.
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
# A start must not take this guard for one that watches.
rm -f "$state/epoch"
isGuest() {
  case $(readlink "$1/exe") in *qemu*) tr '\\0' '\\n' <"$1/cmdline" | grep -qxF -- "$uuid" ;; *) false ;; esac
}
said=
note() {
  storage=back
  [ $(($(now) - last)) -le ${awaySeconds} ] || storage=away
  [ "$storage" != "$said" ] || return
  echo "$epoch $storage" >"$state.ended.new"
  mv "$state.ended.new" "$state.ended"
  said=$storage
}
end=$(($(now) + 60))
reported=
while [ -n "$said" ] || [ "$(now)" -le "$end" ]; do
  running=
  if [ "$(now)" -le "$end" ]; then
    for process in /proc/[0-9]*; do
      if isGuest "$process"; then
        running=yes
        [ "$found" -gt "$epoch" ] || note
        kill -KILL "\${process#/proc/}"
      fi
    done
  fi
  if [ -e "$seen" ]; then read -r last found <"$seen"; fi
  if [ "$found" -gt "$epoch" ]; then
    if [ -n "$said" ]; then
      said=
      end=$(($(now) + 60))
      rm -f "$state.ended"
    fi
    if [ -z "$running$reported" ]; then
      reported=yes
      (echo "$found $node" >"$lease.ended") &
    fi
  elif [ -n "$said" ]; then note; fi
  sleep 1
done
kill "$reader"
rm -rf "$state"
`
