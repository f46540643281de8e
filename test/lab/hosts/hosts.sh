#!/bin/bash
# Hypervisor hosts on one machine: each has its own network namespace, address, libvirtd (TCP, no auth) and sshd.
#   hosts.sh up DIR [N] [OWNER] [LAB]  N hosts (2) at 10.99.LAB.1 …: libvirt at qemu+tcp://ADDRESS/system, ssh root@ADDRESS
#                                      with DIR/id. LAB, 1 to 254, is the first free one unless given. All that it makes is
#                                      named hxLAB… or lies in DIR. When process OWNER has ended, the next `up` of anyone
#                                      takes the lab down. Writes DIR/lab: its name and network.
#   hosts.sh down DIR                  leaves nothing of it, and DIR only if something else is in it
#   hosts.sh needs                     lists what is missing on this machine, one line each
# What it works around, each found the hard way:
#   - PID 1 of a container or test machine may not reap: libvirt then waits seconds for each QEMU probe. Hence tini as PID 1.
#   - A /dev/kvm that exists but does not work makes libvirt probe QEMU anew at every start (6 s instead of 0.35 s).
#     Hence a private /dev without kvm, and `namespaces = []` so that libvirt does not try to move it.
#   - dockerd sets FORWARD to DROP and bridge-nf-call-iptables to 1, which cuts bridges: a rule of our own lets ours through.
#   - libvirt's peer-to-peer migration looks its peer up by host name: /etc/hosts names every host.
#   - bash on the reading end of a /dev/tcp redirection is enough to see that sshd answers; ssh itself takes 0.3 s.
set -eu
LABS=/run/horcrux-lab # one file per lab: DIR, OWNER and OWNER's start time, which tells a reused pid

started() { [ -r "/proc/$1/stat" ] && sed 's/.*) //' "/proc/$1/stat" | cut -d' ' -f20; }

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  while read -r program package; do
    command -v "$program" >/dev/null || echo "$program (Debian: $package)"
  done <<'L'
libvirtd libvirt-daemon-system
virtlogd libvirt-daemon-system
virsh libvirt-clients
qemu-system-x86_64 qemu-system-x86
qemu-img qemu-utils
sshd openssh-server
ssh-keygen openssh-client
tini tini
ip iproute2
unshare util-linux
L
}

claim() { # sets LAB; writing the file is the claim
  mkdir -p "$LABS"
  for LAB in ${1:-$(seq 254)}; do
    [ -z "$(ip -4 -o addr show to "10.99.$LAB.0/24")" ] || continue
    [ -z "$(ip -br link show | grep -E "^hx${LAB}(br|v[0-9])")" ] || continue
    (set -C; printf '%s\n' "$DIR" "$OWNER" "$(started "$OWNER" || true)" >"$LABS/hx$LAB") 2>/dev/null || continue
    return 0
  done
  echo "no free lab number${1:+: $1 is taken}" >&2; exit 1
}

sweep() { # labs whose owner has ended, and what is left of a lab in our own folder
  for file in "$LABS"/hx*; do
    [ -f "$file" ] || continue
    { read -r dir; read -r owner; read -r start || true; } <"$file"
    if [ "$dir" = "$DIR" ] || { [ "$owner" != - ] && [ "$(started "$owner" || true)" != "$start" ]; }; then
      take_down "${file##*/}" "$dir"
    fi
  done
}

take_down() { # NAME DIR
  for k in $(seq 9); do
    ip netns pids "$1-$k" 2>/dev/null | xargs -r kill -9 2>/dev/null || true
  done
  for k in $(seq 9); do
    [ -e "/run/netns/$1-$k" ] || continue
    for _ in $(seq 100); do [ -z "$(ip netns pids "$1-$k")" ] && break; sleep 0.05; done
    ip netns del "$1-$k" 2>/dev/null || true # another `up` may sweep the same lab
    ip link del "$1v$k" 2>/dev/null || true # the kernel removes it later, as late as the last process in the namespace ends
  done
  while iptables -D FORWARD -i "$1br" -o "$1br" -j ACCEPT 2>/dev/null; do :; done
  ip link del "$1br" 2>/dev/null || true
  rm -rf "$2"/[1-9] "$2"/[1-9].log "$2/id" "$2/id.pub" "$2/lab"
  rmdir "$2" 2>/dev/null || true
  rm -f "$LABS/$1"
}

host() { # DIR N K NAME NET, as PID 1's child in the host's namespaces
  DIR=$1; N=$2; k=$3; NAME=$4; NET=$5; R=$DIR/$k
  hostname "node$k"; mount --make-rprivate /
  mkdir -p "$R"/{run,lib,etc,cache,log,dev,ssh,home,state} /var/lib/horcrux
  mount -t tmpfs tmpfs "$R/dev"
  for d in null zero full random urandom tty fuse loop-control; do [ -e "/dev/$d" ] && cp -a "/dev/$d" "$R/dev/"; done
  cp -a /dev/loop[0-9]* "$R/dev/" 2>/dev/null || true
  mkdir -p "$R/dev"/{net,pts,shm}
  cp -a /dev/net/tun "$R/dev/net/" 2>/dev/null || mknod "$R/dev/net/tun" c 10 200
  ln -s pts/ptmx "$R/dev/ptmx"; ln -s /proc/self/fd "$R/dev/fd"
  mount -t devpts -o newinstance,ptmxmode=0666,mode=620,gid=5 devpts "$R/dev/pts"; mount -t tmpfs tmpfs "$R/dev/shm"
  mount --rbind "$R/dev" /dev
  cp -r /etc/libvirt/. "$R/etc/"
  rm -f "$R"/etc/qemu/networks/autostart/* "$R"/etc/qemu/*.xml "$R"/etc/qemu/autostart/*
  cat >"$R/etc/libvirtd.conf" <<C
listen_tls = 0
listen_tcp = 1
auth_tcp = "none"
auth_unix_rw = "none"
listen_addr = "$NET.$k"
host_uuid = "00000000-0000-4000-8000-$(printf '%06d%06d' "${NAME#hx}" "$k")"
C
  printf 'namespaces = []\nuser = "root"\ngroup = "root"\nsecurity_driver = "none"\n' >"$R/etc/qemu.conf"
  { echo "127.0.0.1 localhost"; for i in $(seq "$N"); do echo "$NET.$i node$i"; done; } >"$R/hosts"
  mount --bind "$R/home" /root # this machine's ~/.bashrc may take 0.1 s for each command over SSH
  mount --bind "$R/run" /run; mkdir -p /run/libvirt /run/sshd
  mount --bind "$R/lib" /var/lib/libvirt; mount --bind "$R/etc" /etc/libvirt; mount --bind "$R/cache" /var/cache/libvirt
  mount --bind "$R/log" /var/log/libvirt; mount --bind "$R/hosts" /etc/hosts
  mount --bind "$R/state" /var/lib/horcrux # what Horcrux keeps on a host
  /usr/sbin/sshd -f /dev/null -h "$R/ssh/key" -o ListenAddress="$NET.$k" -o AuthorizedKeysFile="$DIR/id.pub" \
    -o StrictModes=no -o PermitRootLogin=prohibit-password -o PidFile=none -o UsePAM=no -o MaxStartups=100 \
    -o Subsystem="sftp internal-sftp"
  virtlogd -d
  # The host ends with its libvirtd, unless a test has made the file `restart`.
  libvirtd -l >"$R/libvirtd.log" 2>&1 || true
  while [ -e "$R/restart" ]; do libvirtd -l >>"$R/libvirtd.log" 2>&1 || sleep 0.5; done
}

up() {
  missing=$(needs); [ -z "$missing" ] || { printf 'missing:\n%s\n' "$missing" >&2; exit 3; }
  sweep
  mkdir -p "$DIR"; chmod 700 "$DIR"
  claim "$1"
  NAME=hx$LAB; NET=10.99.$LAB
  trap 'take_down "$NAME" "$DIR"' EXIT
  ssh-keygen -q -t ed25519 -N '' -C "$NAME" -f "$DIR/id"
  ip link add "${NAME}br" type bridge; ip addr add "$NET.254/24" dev "${NAME}br"; ip link set "${NAME}br" up
  iptables -I FORWARD -i "${NAME}br" -o "${NAME}br" -j ACCEPT 2>/dev/null || true
  for k in $(seq "$N"); do
    mkdir -p "$DIR/$k/ssh"; ssh-keygen -q -t ed25519 -N '' -C "node$k" -f "$DIR/$k/ssh/key"
    ip netns add "$NAME-$k"; ip link add "${NAME}v$k" type veth peer name eth0 netns "$NAME-$k"
    ip link set "${NAME}v$k" master "${NAME}br" up
    ip -n "$NAME-$k" addr add "$NET.$k/24" dev eth0; ip -n "$NAME-$k" link set eth0 up; ip -n "$NAME-$k" link set lo up
    setsid ip netns exec "$NAME-$k" unshare --mount --uts --pid --fork --kill-child --mount-proc \
      tini -s -- bash "$0" host "$DIR" "$N" "$k" "$NAME" "$NET" </dev/null >"$DIR/$k.log" 2>&1 &
  done
  for k in $(seq "$N"); do
    until (: <"/dev/tcp/$NET.$k/22") 2>/dev/null && (: <"/dev/tcp/$NET.$k/16509") 2>/dev/null; do
      [ $((++tries)) -lt 2000 ] || { cat "$DIR/$k.log" "$DIR/$k/libvirtd.log" >&2; exit 1; }
      sleep 0.1
    done
    virsh -q -c "qemu+tcp://$NET.$k/system" version >/dev/null
  done
  printf 'name=%s\nnet=%s\nhosts=%s\n' "$NAME" "$NET" "$N" >"$DIR/lab"
  trap - EXIT
  cat "$DIR/lab"
}

cmd=$1; tries=0
[ $# -lt 2 ] || DIR=$(realpath -m "$2")
case $cmd in
  needs) needs ;;
  host) shift; host "$@" ;;
  down)
    OWNER=-
    for file in "$LABS"/hx*; do
      [ -f "$file" ] && [ "$(head -n 1 "$file")" = "$DIR" ] && take_down "${file##*/}" "$DIR"
    done
    true ;;
  up) N=${3:-2}; OWNER=${4:--}; up "${5:-}" ;;
  *) sed -n '2,9p' "$0"; exit 2 ;;
esac
