#!/bin/bash
# A machine of a test's own: processes, /run and libvirt's folders are not those of this machine; the network is.
# Everything that runs on it ends with this process.
#   machine.sh DIR CHECKOUT    prints the process id by which others enter it: nsenter -t PID -m -p
set -eu
R=$1 CHECKOUT=$2
read -r pid _ </proc/self/stat # as seen from outside: /proc is still the outer one
mount --make-rprivate /
mount -t proc proc /proc
mkdir -p "$R"/{run,lib,cache,log,etc,state,tmp} /var/lib/horcrux
cp -r /etc/libvirt/. "$R/etc"
rm -f "$R"/etc/qemu/networks/autostart/* "$R"/etc/qemu/autostart/*
for pair in run:/run lib:/var/lib/libvirt cache:/var/cache/libvirt log:/var/log/libvirt etc:/etc/libvirt \
  state:/var/lib/horcrux; do
  mount --bind "$R/${pair%%:*}" "${pair#*:}"
done
# The settings of the Horcrux that a developer runs from this checkout.
if [ -e "$CHECKOUT/.env" ]; then
  : >"$R/env"
  mount --bind "$R/env" "$CHECKOUT/.env"
fi
echo "$pid"
exec sleep infinity
