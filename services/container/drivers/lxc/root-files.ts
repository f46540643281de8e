import type { Readable } from 'node:stream'
import { lxcOf } from '#shared/nodes/lxc/engine.ts'
import { type Named, pathOf } from '#shared/nodes/lxc/tools.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { requireCurrent } from '#shared/runtime/request-context.ts'
import type { Ref } from '../driver.ts'
import type { ArchiveSource } from '../files.ts'
import type { RootFiles } from '../parts.ts'
import { parseConfig } from './config-file.ts'
import { archiveOf, rootIn } from './copies.ts'
import { make, unpack } from './make.ts'

type NamedAt = (ref: Pick<Ref, 'node' | 'engine_id'>) => Promise<Named>

/** An archive of the same files has the same bytes: names are sorted, and only times of changes are kept. */
const words = [
  '--create',
  '--file=-',
  '--one-file-system',
  '--numeric-owner',
  '--sort=name',
  '--format=posix',
  '--pax-option=exthdr.name=%d/PaxHeaders/%f,delete=atime,delete=ctime',
  '--xattrs',
  '--xattrs-include=security.capability',
  '--xattrs-include=user.*',
]

async function rootOf(named: Named): Promise<{ root: string; maps: string[] }> {
  const entries = parseConfig((await named.host.readFile(`${pathOf(named)}/config`)).toString('utf8'))
  const maps = entries.flatMap(([key, value]) => {
    const [kind, from, to, count] = key === 'lxc.idmap' ? value.split(/\s+/) : []
    return count === undefined ? [] : ['-m', `${kind}:${from}:${to}:${count}`]
  })
  return { root: rootIn(entries, named), maps }
}

/** Reads the root file system in the user namespace of the container, so that users are those that the container has. */
async function readRoot(named: Named): Promise<ArchiveSource> {
  const { root, maps } = await rootOf(named)
  const tar = ['tar', ...words, `--directory=${root}`, '.']
  const [program, ...rest] = maps.length > 0 ? ['lxc-usernsexec', ...maps, '--', ...tar] : tar
  return archiveOf(await named.host.spawn(program!, rest), named)
}

const besideOf = (root: string) => `${root}.restored`
const keptOf = (root: string) => `${root}.before`

export const lxcRootFiles = (namedAt: NamedAt): RootFiles => ({
  read: async (ref) => readRoot(await namedAt(ref)),
  settings: async () => ({ settings: null, env: null }),
  hasVolumes: false,
  base: {
    kind: 'container',
    create: async (definition, archive) => {
      const reached = await reach(definition.node)
      await make(reached.host, lxcOf(reached).folder, definition, archive)
      return definition.name
    },
    putBeside: async (ref, archive: Readable) => {
      const named = await namedAt(ref)
      const { root, maps } = await rootOf(named)
      await requireCurrent()
      await named.host.remove(besideOf(root), { recursive: true })
      await unpack(named.host, archive, besideOf(root), maps)
    },
    // Each name is there or not, so that a repetition knows how far a try has come.
    swap: async (ref) => {
      const named = await namedAt(ref)
      const { root } = await rootOf(named)
      await requireCurrent()
      if (!(await named.host.stat(besideOf(root)))) return
      if (!(await named.host.stat(keptOf(root)))) await named.host.rename(root, keptOf(root))
      await named.host.rename(besideOf(root), root)
    },
    swapBack: async (ref) => {
      const named = await namedAt(ref)
      const { root } = await rootOf(named)
      await requireCurrent()
      if (!(await named.host.stat(keptOf(root)))) return
      await named.host.remove(root, { recursive: true })
      await named.host.rename(keptOf(root), root)
    },
    removeOther: async (ref) => {
      const named = await namedAt(ref)
      const { root } = await rootOf(named)
      await requireCurrent()
      for (const path of [besideOf(root), keptOf(root)]) await named.host.remove(path, { recursive: true })
    },
  },
})
