# Functions of the scripts that run servers of a test.

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

# Runs a program of DIR until OWNER has ended; its process id is in DIR/NAME.pid.
daemon() { # NAME PROGRAM ARGS...
  local name=$1; shift
  setsid bash -c 'owner=$1 dir=$2 name=$3; shift 3; "$@" >"$dir/$name.out" 2>&1 </dev/null 8>&- & child=$!
    echo "$child" >"$dir/$name.pid"
    while kill -0 "$owner" 2>/dev/null && kill -0 "$child" 2>/dev/null; do sleep 1; done; kill -KILL "$child" 2>/dev/null' \
    bash "$OWNER" "$DIR" "$name" "$@" </dev/null >/dev/null 2>&1 8>&- &
}

answers() { (: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# Waits until something listens on a port.
listens() { # PORT
  for _ in $(seq 150); do
    answers "$1" && return 0
    sleep 0.1
  done
  tail -n 30 "$DIR"/*.out "$DIR"/*.log >&2 2>/dev/null || true
  return 1
}
