"""Talks over sockets in the network namespace it runs in. One JSON command a line, one answer a line.

serve: port; echoes TCP and UDP on it from now on, in both families.
open: name, protocol, address, port; a connection. The answer says whether it came to be.
say: name; whether an echo comes back on the connection.
count: ports; counts UDP datagrams on these from now on. counted: how many came on each.
rounds: address, port, number; the seconds that so many UDP round trips take, of the fastest tenth.
flood: address, ports, rate, seconds; sends datagrams to the ports in turn, from many source ports. The answer: how many to each.
"""
import json, selectors, socket, struct, sys, threading, time

connections = {}
counts = {}


def listening(kind, port):
    sock = socket.socket(socket.AF_INET6, kind)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    # SO_RCVBUFFORCE, which Python has no name for.
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)
    sock.bind(("::", port))
    return sock


def echo_tcp(server):
    def talk(one):
        while data := one.recv(4096):
            one.sendall(data)

    while True:
        threading.Thread(target=talk, args=(server.accept()[0],), daemon=True).start()


def echo_udp(sock):
    while True:
        data, peer = sock.recvfrom(4096)
        sock.sendto(data, peer)


def serve(port):
    server = listening(socket.SOCK_STREAM, port)
    server.listen(16)
    threading.Thread(target=echo_tcp, args=(server,), daemon=True).start()
    threading.Thread(target=echo_udp, args=(listening(socket.SOCK_DGRAM, port),), daemon=True).start()


def open_connection(name, protocol, address, port):
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    sock.settimeout(0.5)
    try:
        sock.connect((address, port))
    except OSError:
        return False
    connections[name] = [sock, 0]
    return say(name)


def say(name):
    connection = connections[name]
    connection[1] += 1
    words = b"%d\n" % connection[1]
    try:
        connection[0].sendall(words)
        heard = b""
        while not heard.endswith(words):
            data = connection[0].recv(4096)
            if not data:
                return False
            heard += data
        return True
    except OSError:
        return False


def count(ports):
    chooser = selectors.DefaultSelector()
    for port in ports:
        counts[port] = 0
        sock = listening(socket.SOCK_DGRAM, port)
        sock.setblocking(False)
        chooser.register(sock, selectors.EVENT_READ, port)

    def drain():
        while True:
            for key, _ in chooser.select():
                try:
                    while True:
                        key.fileobj.recv(64)
                        counts[key.data] += 1
                except BlockingIOError:
                    pass

    threading.Thread(target=drain, daemon=True).start()


def counted(quiet=0.3):
    before = None
    while before != counts:
        before = dict(counts)
        time.sleep(quiet)
    return before


def rounds(address, port, number):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.settimeout(1)
    sock.connect((address, port))
    times = []
    for _ in range(number):
        begin = time.perf_counter()
        sock.send(b"x")
        sock.recv(16)
        times.append(time.perf_counter() - begin)
    fastest = sorted(times)[: number // 10]
    return sum(fastest)


def flood(address, ports, rate, seconds):
    sock = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_UDP)
    sent = dict.fromkeys(ports, 0)
    begin = time.monotonic()
    done = 0
    while (now := time.monotonic() - begin) < seconds:
        while done < now * rate:
            port = ports[done % len(ports)]
            # Checksum 0: none. Each datagram is a new connection for 40,000 of them.
            sock.sendto(struct.pack("!HHHH", 20000 + done % 40000, port, 9, 0) + b"x", (address, 0))
            sent[port] += 1
            done += 1
        time.sleep(0.001)
    return sent


commands = {"serve": serve, "open": open_connection, "say": say, "count": count, "counted": counted, "flood": flood, "rounds": rounds}
for line in sys.stdin:
    name, *words = json.loads(line)
    print(json.dumps(commands[name](*words)), flush=True)
