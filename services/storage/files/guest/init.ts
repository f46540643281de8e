/** Kernel modules by what they are for; those that are built in or not there are left out. Soft dependencies come first. */
export const moduleSets = {
  devices: ['virtio_pci', 'virtio_blk', 'virtio_console'],
  ext4: ['crc32c_generic', 'ext4'],
  xfs: ['crc32c_generic', 'xfs'],
  btrfs: ['crc32c_generic', 'xxhash_generic', 'sha256_generic', 'blake2b_generic', 'btrfs'],
  vfat: ['nls_cp437', 'nls_ascii', 'nls_utf8', 'vfat'],
  exfat: ['nls_utf8', 'exfat'],
  iso9660: ['nls_utf8', 'isofs'],
  udf: ['nls_utf8', 'udf'],
  squashfs: ['squashfs'],
  ntfs3: ['ntfs3'],
  lvm: ['dm_mod', 'dm_bufio', 'dm_thin_pool', 'dm_snapshot', 'dm_mirror'],
} as const

/** Names of the ports of the guest, which is a serial device of virtio each. */
export const ports = { control: 'control', data: 'data' } as const

/**
 * The init script. A line on the control port is a program and its arguments, ended by NUL each, in Base64. Its output goes
 * to the data port; then a line on the control port has the exit code, the bytes of the output, and the end of the errors in
 * Base64. No byte that comes from outside is part of a script.
 */
export const init = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/tools LC_ALL=C.UTF-8
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
/tools/load devices
# The device tells the names of its ports after the driver is loaded.
until [ -n "$control" ] && [ -n "$data" ]; do
  for port in /sys/class/virtio-ports/*; do
    case $(cat "$port/name" 2>/dev/null) in
      ${ports.control}) control=/dev/\${port##*/} ;;
      ${ports.data}) data=/dev/\${port##*/} ;;
    esac
  done
done
exec 3<>"$control" 4<>"$data"
echo up >&3
while read -r words <&3; do
  echo 127 >/run/code
  echo "$words" | base64 -d | xargs -0 sh -c '"$@" 2>/run/errors 3>&- 4>&-; echo $? >/run/code' run | /tools/dd bs=32k 2>/run/count >&4
  echo "done $(cat /run/code) $(sed -n 's/^\\([0-9]*\\) byte.*/\\1/p' /run/count) $(tail -c 900 /run/errors | base64 -w 0)" >&3
done
poweroff -f
`

/** Loads the modules of a set. One that is loaded already is refused, which is fine. */
export const load = `#!/bin/sh
[ -e /modules/$1.order ] || exit 0
while read -r module; do insmod "/modules/$module"; done <"/modules/$1.order" 2>/dev/null
exit 0
`

/**
 * Prints the disks, their partitions and the logical volumes on them: a line each, followed by the lines of blkid, in which
 * unsafe characters are encoded.
 */
export const scan = `#!/bin/sh
size() { echo $(($(cat "/sys/class/block/$1/size") * 512)); }
probe() { /tools/blkid -p -o udev "/dev/$1" || true; }
for disk in /sys/block/vd*; do
  [ -e "$disk" ] || continue
  name=\${disk##*/}
  echo "disk $name $(size $name) $(cat "$disk/serial")"
  probe $name
  for part in "$disk/$name"*; do
    [ -e "$part/partition" ] || continue
    echo "partition \${part##*/} $(size \${part##*/}) $name $(cat "$part/partition")"
    probe \${part##*/}
  done
done >/run/devices
cat /run/devices
grep -q '^ID_FS_TYPE=LVM2_member$' /run/devices || exit 0
if [ ! -x /tools/lvm ]; then echo "problem this host has no lvm2"; exit 0; fi
/tools/load lvm
/tools/lvm vgchange --config 'activation { udev_sync = 0 udev_rules = 0 monitoring = 0 } devices { use_devicesfile = 0 }' -ay >/dev/null 2>/run/lvm || echo "problem $(tail -n 1 /run/lvm)"
for mapped in /sys/block/dm-*; do
  [ -e "$mapped/dm/name" ] || continue
  echo "mapped \${mapped##*/} $(size \${mapped##*/}) $(cat "$mapped/dm/name")"
  probe \${mapped##*/}
done
`

/**
 * Mounts a device of a type at /mnt/NAME, read-only. The disk below it is a throw-away copy, so the kernel may replay a
 * journal; a damaged one is left out.
 */
export const openVolume = `#!/bin/sh
mkdir -p "/mnt/$1"
grep -q " /mnt/$1 " /proc/mounts && exit 0
type=$2
ways=ro
case $type in
  ext2 | ext3 | ext4) type=ext4 ways='ro ro,noload' ;;
  xfs) ways='ro,nouuid ro,nouuid,norecovery' ;;
  btrfs) ways='ro ro,rescue=nologreplay' ;;
  vfat) ways='ro,utf8' ;;
  iso9660) ways='ro,iocharset=utf8' ;;
  ntfs) type=ntfs3 ways='ro,force' ;;
esac
/tools/load "$type"
for way in $ways; do
  mount -t "$type" -o "$way,nodev,nosuid,noexec" "/dev/$1" "/mnt/$1" 2>/run/mount && exit 0
done
cat /run/mount >&2
exit 1
`
