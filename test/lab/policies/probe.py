"""Sends and receives single packets in the network namespace it runs in. One JSON command a line, one answer a line.

send: [[source, destination, protocol, source port, destination port], ...]; every packet has its own source port.
heard: the packets that arrived since the last question, behind the filter of the receiver, once none came for a while.
"""
import json, select, socket, struct, sys

PROTOCOLS = {"tcp": 6, "udp": 17, "sctp": 132, "icmp": 1, "icmpv6": 58}
NAMES = {number: name for name, number in PROTOCOLS.items()}
CRC = [0] * 256
for n in range(256):
    c = n
    for _ in range(8):
        c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
    CRC[n] = c


def checksum(data):
    if len(data) % 2:
        data += b"\0"
    total = sum(struct.unpack("!%dH" % (len(data) // 2), data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ CRC[(crc ^ byte) & 0xFF]
    return struct.pack("<I", crc ^ 0xFFFFFFFF)


def segment(source, target, protocol, sport, dport):
    family = socket.AF_INET6 if ":" in source else socket.AF_INET
    ends = socket.inet_pton(family, source) + socket.inet_pton(family, target)
    number = PROTOCOLS[protocol]
    pseudo = lambda length: ends + (struct.pack("!II", length, number) if ":" in source else struct.pack("!HH", number, length))
    if protocol == "tcp":
        head = struct.pack("!HHIIBBHHH", sport, dport, 1, 0, 5 << 4, 2, 1024, 0, 0)
        return head[:16] + struct.pack("!H", checksum(pseudo(20) + head)) + head[18:]
    if protocol == "udp":
        head = struct.pack("!HHHH", sport, dport, 9, 0) + b"x"
        return head[:6] + struct.pack("!H", checksum(pseudo(9) + head) or 0xFFFF) + head[8:]
    if protocol == "sctp":
        # INIT, the first packet of an association.
        chunk = struct.pack("!BBHIIHHI", 1, 0, 20, 1, 65536, 1, 1, 1)
        head = struct.pack("!HHII", sport, dport, 0, 0)
        return head[:8] + crc32c(head + chunk) + chunk
    if protocol == "icmp":
        head = struct.pack("!BBHHH", 8, 0, 0, sport, 1)
        return head[:2] + struct.pack("!H", checksum(head)) + head[4:]
    head = struct.pack("!BBHHH", 128, 0, 0, sport, 1)
    return head[:2] + struct.pack("!H", checksum(pseudo(8) + head)) + head[4:]


def packet(source, target, protocol, sport, dport):
    body = segment(source, target, protocol, sport, dport)
    if ":" in source:
        head = struct.pack("!IHBB", 6 << 28, len(body), PROTOCOLS[protocol], 64)
        return head + socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + body
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), sport & 0xFFFF, 0, 64, PROTOCOLS[protocol], 0)
    return head + socket.inet_aton(source) + socket.inet_aton(target) + body


def receiver(family, protocol):
    sock = socket.socket(family, socket.SOCK_RAW, PROTOCOLS[protocol])
    # SO_RCVBUFFORCE, which Python has no name for.
    sock.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)
    return sock, family, protocol


receivers = [receiver(socket.AF_INET, name) for name in ("tcp", "udp", "sctp", "icmp")]
receivers += [receiver(socket.AF_INET6, name) for name in ("tcp", "udp", "sctp", "icmpv6")]
by_fd = {sock.fileno(): (sock, family, protocol) for sock, family, protocol in receivers}
senders = {
    socket.AF_INET: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW),
    socket.AF_INET6: socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_RAW),
}


def read(sock, family, protocol):
    data, peer = sock.recvfrom(2048)
    if family == socket.AF_INET:
        data = data[(data[0] & 15) * 4 :]
    source = peer[0].split("%")[0]
    if protocol == "tcp" and data[13] & 0x3F != 2:
        return None
    if protocol == "sctp" and data[12] != 1:
        return None
    if protocol in ("icmp", "icmpv6"):
        return [source, protocol, struct.unpack("!H", data[4:6])[0]] if data[0] in (8, 128) else None
    return [source, protocol, struct.unpack("!H", data[:2])[0]]


def heard(quiet):
    found = []
    while True:
        ready, _, _ = select.select(list(by_fd), [], [], quiet)
        if not ready:
            return found
        found += [one for one in (read(*by_fd[fd]) for fd in ready) if one]


for line in sys.stdin:
    command = json.loads(line)
    answer = None
    if "send" in command:
        for source, target, protocol, sport, dport in command["send"]:
            family = socket.AF_INET6 if ":" in target else socket.AF_INET
            senders[family].sendto(packet(source, target, protocol, sport, dport), (target, 0))
    if "heard" in command:
        answer = heard(command["heard"])
    print(json.dumps(answer), flush=True)
