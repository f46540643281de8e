#!/bin/bash
# A machine with a Linux of Debian, and with it the network file systems that the kernel of this one may lack: a guest under
# QEMU's emulation whose root is this machine's, read through virtiofs, with what it writes kept in its memory.
#   kernel-node.sh up DIR KERNEL INITRD PORT OWNER  returns when its sshd answers on 127.0.0.1:PORT (key: DIR/id); the guest
#                                                   sees this machine as 10.0.2.2, and ends when process OWNER has ended
#   kernel-node.sh init                             prints the guest's first program
#   kernel-node.sh needs                            lists what is missing on this machine, one line each
set -eu
virtiofsd=/usr/lib/qemu/virtiofsd

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$program (Debian: $package)"
  done <<L
qemu-system-x86_64 qemu-system-x86
$virtiofsd qemu-system-common
qemu-img qemu-utils
sshd openssh-server
ssh-keygen openssh-client
L
}

init() {
  cat <<'I'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin
mount -t proc proc /proc
mount -t devtmpfs devtmpfs /dev
while read -r module; do insmod "/modules/$module"; done </modules/order
mkdir /host /rw /new
mount -t virtiofs host /host
mount -t tmpfs rw /rw
mkdir /rw/upper /rw/work
mount -t overlay -o lowerdir=/host,upperdir=/rw/upper,workdir=/rw/work overlay /new
for place in proc sys dev tmp run root; do mkdir -p /new/$place; done
mount --bind /dev /new/dev
ln -s /proc/self/fd /new/dev/fd
mkdir -p /new/dev/pts /new/dev/shm
mount -t proc proc /new/proc
mount -t sysfs sysfs /new/sys
mount -t devpts devpts /new/dev/pts
for place in dev/shm tmp run root; do mount -t tmpfs "${place##*/}" /new/$place; done
chmod 1777 /new/tmp /new/dev/shm
mkdir -p /new/run/sshd /new/run/node
cp /keys/* /new/run/node
chmod 600 /new/run/node/*
ip link set lo up
ip link set eth0 up
ip addr add 10.0.2.15/24 dev eth0
ip route add default via 10.0.2.2
chroot /new /usr/sbin/sshd -f /dev/null -h /run/node/host -o AuthorizedKeysFile=/run/node/id.pub -o StrictModes=no \
  -o PermitRootLogin=prohibit-password -o PidFile=none -o UsePAM=no -o MaxStartups=100 -o Subsystem="sftp internal-sftp"
echo '::once:/bin/true' >/etc/inittab
exec init
I
}

# Runs a program until OWNER has ended.
daemon() { # NAME PROGRAM ARGS...
  local name=$1; shift
  setsid bash -c 'owner=$1 out=$2; shift 2; "$@" >"$out" 2>&1 </dev/null & child=$!
    while kill -0 "$owner" 2>/dev/null && kill -0 "$child" 2>/dev/null; do sleep 1; done; kill -KILL "$child" 2>/dev/null' \
    bash "$OWNER" "$DIR/$name.out" "$@" </dev/null >/dev/null 2>&1 &
}

up() { # KERNEL INITRD PORT
  daemon fs "$virtiofsd" --socket-path="$DIR/fs.sock" -o source=/ -o cache=always -o sandbox=chroot -o xattr
  for _ in $(seq 100); do [ ! -S "$DIR/fs.sock" ] || break; sleep 0.1; done
  daemon guest qemu-system-x86_64 -accel tcg,thread=multi,tb-size=256 -machine q35 -cpu max -m 768 -smp 1 -nodefaults \
    -display none -serial "file:$DIR/console" -kernel "$1" -initrd "$2" \
    -append 'console=ttyS0 quiet mitigations=off nokaslr tsc=reliable no_timer_check cryptomgr.notests=1' \
    -object memory-backend-memfd,id=memory,size=768M,share=on -numa node,memdev=memory \
    -chardev "socket,id=fs,path=$DIR/fs.sock" -device vhost-user-fs-pci,chardev=fs,tag=host \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$3-:22" -device virtio-net-pci,netdev=net,romfile= \
    -object rng-random,filename=/dev/urandom,id=random -device virtio-rng-pci,rng=random
  # A busy machine takes minutes for what takes seconds else.
  for _ in $(seq 1500); do
    kill -0 "$OWNER" 2>/dev/null || return 1
    ssh -q -p "$3" -i "$DIR/id" -o BatchMode=yes -o ConnectTimeout=2 -o StrictHostKeyChecking=no \
      -o UserKnownHostsFile=/dev/null root@127.0.0.1 true && return 0
    sleep 0.3
  done
  tail -n 20 "$DIR/console" "$DIR"/*.out >&2
  return 1
}

case ${1:-} in
  up) DIR=$2 OWNER=$6; up "$3" "$4" "$5" ;;
  init) init ;;
  needs) needs ;;
  *) sed -n '2,9s/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
