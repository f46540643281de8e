/** Programs and files for the tests of storage: clients of a node, and servers. @param triplet of Debian's folders for libraries */
export const storageTests = (triplet: string): ({ program: string } | { file: string })[] => [
  ...['mkfs.btrfs', 'mkfs.ext4', 'mkfs.xfs'].map((program) => ({ program })),
  { file: `/usr/lib/${triplet}/qemu/block-rbd.so` },
  ...['rbd', 'ceph-mon', 'ceph-osd', 'radosgw', 'radosgw-admin', 'openssl'].map((program) => ({ program })),
  ...['ganesha.nfsd', 'mount.nfs', 'smbd', 'smbpasswd', 'mount.cifs'].map((program) => ({ program })),
  { file: `/usr/lib/${triplet}/ganesha/libfsalvfs.so` },
  ...['tgtd', 'iscsi-inq', 'glusterd', 'mount.glusterfs'].map((program) => ({ program })),
  { file: '/usr/lib/qemu/virtiofsd' },
]
