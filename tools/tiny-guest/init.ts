/** Prefix of each message of the guest on its serial console. */
export const guestPrefix = 'horcrux-guest:'

/**
 * The init script: mounts, loads modules, reports, then runs busybox's init, which reaps and keeps shells on the
 * consoles.
 */
export const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
ip link set lo up
for nic in /sys/class/net/eth*; do [ -e "$nic" ] && report add net "\${nic##*/}"; done
for disk in /sys/block/[vs]d*; do [ -e "$disk/device" ] && report add block "\${disk##*/}"; done
for drive in /sys/block/sr*; do [ -e "$drive" ] && report add seed "\${drive##*/}" & done
for word in $(cat /proc/cmdline); do
  case $word in horcrux.*) echo "${guestPrefix} parameter $word" ;; esac
done
echo "${guestPrefix} cpus $(grep -c ^processor /proc/cpuinfo)"
if [ -x /bin/qemu-ga ]; then
  for disk in /dev/vd?; do mount -t ext4 "$disk" /mnt 2>/dev/null && echo "${guestPrefix} mounted $disk"; done
  for port in /sys/class/virtio-ports/*; do
    grep -q org.qemu.guest_agent.0 "$port/name" && qemu-ga -m virtio-serial -p "/dev/\${port##*/}" -t /tmp -f /tmp/agent.pid &
  done
fi
acpid -l /dev/null -p /tmp/acpid.pid
mdev -d
echo "${guestPrefix} up"
exec init
`

/** Reports an added or removed device once: mdev repeats the devices present at its start. */
export const report = `#!/bin/sh
seen=/tmp/seen-$3
# Prints the files of a cloud-init seed on a CD, line by line.
seed() {
  mkdir -p /tmp/cd-$3
  # The drive appears before its medium is ready.
  for try in 1 2 3 4 5 6; do mount -t iso9660 -o ro /dev/$3 /tmp/cd-$3 2>/dev/null && break; sleep 0.5; done
  [ -e /tmp/cd-$3/meta-data ] && for file in /tmp/cd-$3/*; do
    while IFS= read -r line; do echo "${guestPrefix} seed \${file##*/} $line"; done <"$file"
  done
  umount /tmp/cd-$3 2>/dev/null
}
case $1-$2 in
  add-*) mkdir $seen 2>/dev/null || exit ;;
  remove-*) rmdir $seen 2>/dev/null || exit ;;
esac
case $1-$2 in
  add-seed) seed "$@" ;;
  add-block) echo "${guestPrefix} disk $3 $(($(cat /sys/block/$3/size) * 512))" ;;
  add-net) ip link set $3 up; echo "${guestPrefix} nic $3 $(cat /sys/class/net/$3/address)" ;;
  remove-block) echo "${guestPrefix} disk $3 gone" ;;
  remove-net) echo "${guestPrefix} nic $3 gone" ;;
esac >/dev/console 2>&1
`

/** mdev's rules for hot-plugged disks and network cards. */
export const mdevConf = `-[vs]d[a-z]+ 0:0 660 *report "$ACTION" block "$MDEV"
-sr[0-9]+ 0:0 660 *report "$ACTION" seed "$MDEV"
-eth[0-9]+ 0:0 660 *report "$ACTION" net "$MDEV"
`

/** inittab; the terminal size is set because a shell on a terminal without one asks for it in escape sequences. */
export const inittab = `ttyS0::respawn:/bin/sh -c "stty cols 80 rows 24; exec sh"
tty1::respawn:/bin/sh -c "echo 'Tiny guest of Horcrux'; exec sh"
::ctrlaltdel:/bin/reboot -f
`

/** The shutdown program that the agent runs. */
export const shutdown = `#!/bin/sh
echo "${guestPrefix} agent shutdown" >/dev/console
sync
umount -a -r 2>/dev/null
poweroff -f
`

/** Script that acpid runs for the power button, which \`virsh shutdown\` presses. */
export const powerButton = `#!/bin/sh
echo "${guestPrefix} power button" >/dev/console
sync
umount -a -r 2>/dev/null
poweroff -f
`
