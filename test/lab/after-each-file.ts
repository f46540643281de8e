import { afterAll, inject } from 'vitest'
import { localHost } from '#shared/host/local.ts'

const host = localHost()

/** The lab's hosts are for all test files: what guests one leaves behind, another must not find. */
afterAll(async () => {
  for (const { uri } of inject('lab').hosts) {
    const virsh = (...words: string[]) => host.run('virsh', ['-q', '-c', uri, ...words])
    const { stdout } = await virsh('list', '--all', '--name')
    for (const name of stdout.split('\n').filter(Boolean)) {
      await virsh('destroy', name)
      await virsh('undefine', name, '--nvram', '--managed-save', '--snapshots-metadata', '--checkpoints-metadata')
    }
  }
})
