/**
 * A boot sector without an operating system: it counts up, writes the count into every page of a range of memory, and then
 * tells it on the first serial port, eight hexadecimal digits a line.
 * @param pages of 4 KiB, from 1 MiB on
 */
export function countingGuest(pages: number): Buffer {
  const end = Buffer.alloc(4)
  end.writeUInt32LE(2 ** 20 + pages * 4096)
  const parts = {
    // cli; segments 0; A20 on; lgdt [0x7dc0]; protected mode; jmp 8:0x7c40
    0: 'fa31c08ed88ed08ec0e4920c02e6920f0116c07d0f20c00c010f22c0ea407c0800',
    // Segments 16; esp 0x7000; ebp 0. next: inc ebp; edi 0x100000; page: mov [edi], ebp; add edi, 4096; cmp edi, end; jb page
    64: `66b810008ed88ec08ed0bc0070000031ed45bf00001000892f81c70010000081ff${end.toString('hex')}72f0`,
    // ecx 8; ebx ebp; dx 0x3f8. digit: rol ebx, 4; al = '0'..'9', 'a'..'f'; out dx, al; loop digit; out newline; jmp next
    103: 'b90800000089eb66baf803c1c30488d8240f3c0a720204270430eee2eeb00aeee9c5ffffff',
    // Pointer and table of segments: none, code, data.
    448: '1700c87d000000000000000000000000ffff0000009acf00ffff00000092cf00',
    510: '55aa',
  }
  const sector = Buffer.alloc(512, 0x90)
  for (const [at, bytes] of Object.entries(parts)) sector.write(bytes, Number(at), 'hex')
  return sector
}
