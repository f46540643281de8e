"""Reads chunks of an image from qemu-nbd and prints their SHA-256, on the node of the image.

Arguments: the Unix socket, the size of a chunk, the size of the disk. Each line of standard input has numbers of chunks; for
each one a line "NUMBER ID" is printed, with "-" as the id of a chunk of zeros. Protocol: doc/proto.md of NetworkBlockDevice/nbd.
"""
import hashlib, socket, struct, sys

path, chunk, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = socket.socket(socket.AF_UNIX)
server.connect(path)
ahead = 3  # requests that are open at a time


def take(view):
    while len(view):
        count = server.recv_into(view)
        if count == 0:
            sys.exit("qemu-nbd has closed the connection")
        view = view[count:]


def read(length):
    data = bytearray(length)
    take(memoryview(data))
    return bytes(data)


if read(16) != b"NBDMAGICIHAVEOPT":
    sys.exit("qemu-nbd does not speak NBD")
read(2)
# Fixed newstyle without zeroes, then the default export.
server.sendall(struct.pack(">I", 3) + b"IHAVEOPT" + struct.pack(">II", 1, 0))
read(10)
buffers = {}


def length_of(index):
    return min(chunk, size - index * chunk)


def ask(index):
    server.sendall(struct.pack(">IHHQQI", 0x25609513, 0, 0, index, index * chunk, length_of(index)))


for line in sys.stdin:
    wanted = [int(word) for word in line.split()]
    for index in wanted[:ahead]:
        ask(index)
    for at in range(len(wanted)):
        # Replies come in any order.
        magic, error, index = struct.unpack(">IIQ", read(16))
        if magic != 0x67446698 or error:
            sys.exit("qemu-nbd cannot read the image: error %d" % error)
        length = length_of(index)
        if length not in buffers:
            buffers[length] = bytearray(length), bytes(length)
        data, zeros = buffers[length]
        take(memoryview(data))
        if at + ahead < len(wanted):
            ask(wanted[at + ahead])
        print(index, "-" if data == zeros else hashlib.sha256(data).hexdigest(), flush=True)
