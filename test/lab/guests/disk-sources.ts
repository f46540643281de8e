import fc from 'fast-check'
import type { DiskSource } from '#shared/contracts/storage/disk-source.ts'

/** No path is a file in one domain and a device in another: with the same path they are the same image. */
const pathsBelow = (folder: string) =>
  fc.stringMatching(/^[a-z0-9 &<>"'/.:-]{1,30}$/).map((name) => `${folder}/${name}`)
const server = fc.record({ host: fc.stringMatching(/^[a-z0-9.:]{1,20}$/), port: fc.integer({ min: 1, max: 65_535 }) })
const servers = fc.array(
  fc.oneof(
    server,
    server.map(({ host }) => ({ host })),
  ),
  { maxLength: 3 },
)
const secret = fc.record({
  username: fc.constantFrom('admin', 'a&b'),
  usage: fc.constant('any'),
  uuid: fc.uuid(),
})

/** Sources of all three types. */
export const diskSources: fc.Arbitrary<DiskSource> = fc.oneof(
  fc.record({ type: fc.constant('file' as const), path: pathsBelow('/srv') }),
  fc.record({ type: fc.constant('block' as const), path: pathsBelow('/dev') }),
  fc
    .record({
      protocol: fc.stringMatching(/^[a-z][a-z0-9]{0,8}$/),
      name: fc.stringMatching(/^[a-z0-9/&<>"-]{1,30}$/),
      servers,
    })
    .map((network) => ({ type: 'network' as const, ...network })),
  fc
    .record({ name: fc.stringMatching(/^[a-z0-9/-]{1,30}$/), servers, secret })
    .map((network) => ({ type: 'network' as const, protocol: 'any', ...network })),
)
