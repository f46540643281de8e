#!/bin/bash
# A machine of one's own for tests: processes, /run and libvirt's folders are not those of this machine; the network is.
# It is gone, with all that runs on it, when this process ends.
#   machine.sh DIR    prints the process id by which others enter it: nsenter -t PID -m -p
set -eu
R=$1
read -r pid _ </proc/self/stat # as seen from outside: /proc is still the outer one
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$R"/{run,lib,cache,log,etc,state} /var/lib/horcrux
cp -r /etc/libvirt/. "$R/etc"
rm -f "$R"/etc/qemu/networks/autostart/* "$R"/etc/qemu/autostart/*
for pair in run:/run lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt etc:/etc/libvirt \
  state:/var/lib/horcrux; do
  mount --bind "$R/${pair%%:*}" "${pair#*:}"
done
echo "$pid"
exec sleep infinity
