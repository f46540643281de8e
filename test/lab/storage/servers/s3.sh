#!/bin/bash
# A store that speaks S3: radosgw on the Ceph cluster of ../ceph.sh, over TLS on loopback.
#   s3.sh up DIR OWNER CEPH  starts it on the cluster in folder CEPH unless it runs; it ends when process OWNER ends.
#                            DIR/port has its port, DIR/cert.pem its certificate, DIR/user.json its user with the keys.
#   s3.sh needs              lists what is missing on this machine, one line each
set -eu
. "$(dirname "$0")/daemon.sh"

needs() {
  for program in radosgw radosgw-admin; do
    command -v "$program" >/dev/null || echo "$program (Debian: radosgw)"
  done
  command -v openssl >/dev/null || echo "openssl (Debian: openssl)"
  bash "$(dirname "$0")/../ceph.sh" needs
}

up() {
  mkdir -p "$DIR"
  exec 8>"$DIR/lock"
  flock 8
  if [ -e "$DIR/up" ]; then return 0; fi
  local port words
  port=$(free_port)
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=store \
    -addext 'subjectAltName=IP:127.0.0.1' -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>/dev/null
  ceph -c "$CEPH/ceph.conf" --connect-timeout 30 auth get-or-create client.rgw mon 'allow rw' osd 'allow rwx' \
    -o "$DIR/keyring" 2>/dev/null
  words=(-c "$CEPH/ceph.conf" -n client.rgw --keyring "$DIR/keyring" --rgw-data "$DIR")
  daemon radosgw radosgw "${words[@]}" -f --rgw-thread-pool-size 64 --rgw-rados-pool-pg-num-min 1 \
    --rgw-frontends "beast ssl_endpoint=127.0.0.1:$port ssl_certificate=$DIR/cert.pem ssl_private_key=$DIR/key.pem"
  # It first makes its pools, which takes long on a busy machine.
  for _ in 1 2 3 4 5 6; do listens "$port" 2>/dev/null && break; done
  listens "$port"
  radosgw-admin "${words[@]}" user create --uid=horcrux --display-name=horcrux --max-buckets=0 >"$DIR/user.json" 2>"$DIR/admin.out"
  echo "$port" >"$DIR/port"
  touch "$DIR/up"
}

case ${1:-} in
  up) DIR=$2 OWNER=$3 CEPH=$4; up ;;
  needs) needs ;;
  *) sed -n 's/^# \{0,1\}//p' "$0" >&2; exit 64 ;;
esac
