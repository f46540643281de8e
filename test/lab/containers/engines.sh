#!/bin/bash
# Container engines of a run's own, all in one private network and mount namespace: they change no firewall rule, bridge or
# mount of the machine.
#   engines.sh needs ENGINE          lists what is missing on this machine for docker, podman, lxc, lxd or incus
#   engines.sh run DIR PID ENGINES   runs these engines in DIR until the process PID ends or this one gets SIGTERM, then kills
#                                    all that came of them. DIR must be short: Podman refuses a long run folder
#   engines.sh images DIR ENGINES    gives each of them the image `tiny`, of busybox and an init that ends when it is told to,
#                                    and makes DIR/rootfs and DIR/tiny.tar of it
set -eu
cmd=$1

needs() {
  [ "$(id -u)" = 0 ] || echo "root"
  while read -r engine program package; do
    [ "$engine" = "$1" ] || [ "$engine" = all ] || continue
    command -v "$program" >/dev/null || [ -e "$program" ] || echo "$program (Debian: $package)"
  done <<'L'
all busybox busybox-static
all tini tini
all unshare util-linux
docker dockerd docker.io
podman podman podman
podman runc runc
podman /usr/lib/podman/netavark netavark
lxc lxc-start lxc
lxc newuidmap uidmap
lxd lxd lxd
incus apt-get apt
L
}

tree() { # all descendants of a process, the farthest first
  local child
  for child in $(cat "/proc/$1/task/"*/children 2>/dev/null); do tree "$child"; echo "$child"; done
}

run() { # tini adopts the orphans of the engines (it is their subreaper), so that all can be found and killed
  local dir=$1 pid=$2 engines=$3; mkdir -p "$dir"
  echo $$ >"$dir/pid"
  tini -s -- unshare --net --mount --propagation private bash "$0" inside "$dir" "$engines" >"$dir/log" 2>&1 &
  local tini=$!
  trap 'end "$dir" "$tini"; exit 0' TERM INT
  while [ -e "/proc/$pid" ] && [ -e "/proc/$tini" ]; do sleep 0.5 & wait $! || true; done
  end "$dir" "$tini"
}

end() {
  local round processes
  for round in 1 2 3 4 5 6 7 8 9 10; do
    processes=$(tree "$2")
    [ -n "$processes" ] || break
    kill -KILL $processes 2>/dev/null || true
    sleep 0.1
  done
  kill -KILL "$2" 2>/dev/null || true
  # Control groups that are empty by now.
  find /sys/fs/cgroup -mindepth 2 -depth -type d \( -path "*/$(tag "$1")*" -o -path '*/lxc.*' -o -path '*/libpod_parent*' \) \
    -exec rmdir {} + 2>/dev/null || true
}

tag() { echo "hx-$(cksum <<<"$1" | cut -d' ' -f1)"; }

inside() {
  local dir=$1 engines=$2
  echo $$ >"$dir/inside"
  ip link set lo up
  mkdir -p "$dir/cgroup"
  mount --rbind /sys/fs/cgroup "$dir/cgroup"
  mount -t sysfs sysfs /sys
  mount --rbind "$dir/cgroup" /sys/fs/cgroup
  mount -t tmpfs tmpfs /run/netns 2>/dev/null || true
  local engine
  for engine in $engines; do again "$engine" "$dir" & done
  wait
}

again() { # starts an engine anew when it has been killed, unless DIR/ENGINE.down is there
  while :; do
    [ -e "$2/$1.down" ] || "$1" "$2" >>"$2/$1.log" 2>&1 || true
    sleep 0.2
  done
}

docker() {
  rm -f "$1/docker.pid"
  dockerd --data-root "$1/d" --exec-root "$1/de" -H "unix://$1/docker.sock" --pidfile "$1/docker.pid" \
    --cgroup-parent "/$(tag "$1")" --bip 172.30.0.1/24 --iptables=true --ip6tables=false
}

podman() {
  cat >"$1/containers.conf" <<C
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
log_driver = "k8s-file"
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
network_cmd_path = ""
[network]
network_config_dir = "$1/pn"
C
  mkdir -p "$1/pn"
  # Registries of tests speak no TLS.
  local port
  for port in 5001 5002 5003 5004 5005 5006 5007 5008; do
    printf '[[registry]]\nlocation = "127.0.0.1:%s"\ninsecure = true\n' "$port"
  done >"$1/registries.conf"
  rm -f "$1/podman.sock"
  CONTAINERS_REGISTRIES_CONF=$1/registries.conf CONTAINERS_CONF=$1/containers.conf exec podman --root "$1/p" --runroot "$1/pr" --tmpdir "$1/pt" \
    system service --time=0 "unix://$1/podman.sock"
}

lxd() { mkdir -p "$1/lxd"; LXD_DIR=$1/lxd exec lxd --group root; }

incus() {
  mkdir -p "$1/incus"
  local root=$1/root
  INCUS_DIR=$1/incus INCUS_SOCKET=$1/incus/unix.socket LD_LIBRARY_PATH=$(echo "$root"/usr/lib/*-linux-gnu) \
    PATH=$root/usr/bin:$root/usr/sbin:$PATH exec "$root/usr/libexec/incus/incusd" --group root
}

lxc() { mkdir -p "$1/lxc"; exec sleep infinity; }

images() {
  local dir=$1 engines_=$2 engine root=$1/rootfs applet
  mkdir -p "$root"/{bin,sbin,etc,proc,sys,dev,tmp,root,run,mnt}
  cp "$(command -v busybox)" "$root/bin/busybox"
  for applet in $(busybox --list); do [ "$applet" = busybox ] || ln -sf busybox "$root/bin/$applet"; done
  echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
  echo 'app:x:1000:1000:app:/tmp:/bin/sh' >>"$root/etc/passwd"
  printf 'root:x:0:\napp:x:1000:\n' >"$root/etc/group"
  cat >"$root/sbin/init" <<'I'
#!/bin/sh
echo hello
trap 'exit 0' PWR TERM INT
while :; do sleep 3600 & wait $!; done
I
  chmod 755 "$root/sbin/init"
  tar -C "$root" -cf "$dir/tiny.tar" .
  for engine in $engines_; do "image_$engine" "$dir"; done
}

imported() { # Docker's API, which Podman has too
  curl -sS --fail --unix-socket "$1" -X POST -T "$2/tiny.tar" -H 'Content-Type: application/x-tar' \
    'http://engine/v1.41/images/create?fromSrc=-&repo=tiny&tag=latest' >/dev/null
}
image_docker() { imported "$1/docker.sock" "$1"; }
image_podman() { imported "$1/podman.sock" "$1"; }
image_lxc() { :; }

unified() { # an image of LXD and Incus, and a storage pool for its containers
  local socket=$1 dir=$2 made operation fingerprint
  printf '{"architecture":"%s","creation_date":1,"properties":{"description":"tiny"}}' "$(uname -m)" >"$dir/metadata.yaml"
  [ -e "$dir/unified.tar" ] || tar -C "$dir" -cf "$dir/unified.tar" metadata.yaml rootfs
  local ask=(curl -sS --unix-socket "$socket")
  "${ask[@]}" -X POST -d '{"name":"default","driver":"dir"}' http://engine/1.0/storage-pools >/dev/null
  made=$("${ask[@]}" -X POST -H 'Content-Type: application/octet-stream' --data-binary "@$dir/unified.tar" http://engine/1.0/images)
  operation=$(sed -n 's/.*"operation":"\([^"]*\)".*/\1/p' <<<"$made")
  made=$("${ask[@]}" "http://engine$operation/wait?timeout=30")
  fingerprint=$(grep -o '"fingerprint":"[0-9a-f]*"' <<<"$made" | head -n1 | cut -d'"' -f4)
  "${ask[@]}" -X POST -d "{\"name\":\"tiny\",\"target\":\"$fingerprint\"}" http://engine/1.0/images/aliases >/dev/null
}
image_lxd() { unified "$1/lxd/unix.socket" "$1"; }
image_incus() { unified "$1/incus/unix.socket" "$1"; }

case $cmd in
  needs) needs "$2" ;;
  run) run "$2" "$3" "$4" ;;
  inside) inside "$2" "$3" ;;
  images) images "$2" "$3" ;;
  *) sed -n '2,10p' "$0"; exit 2 ;;
esac
