import { once } from 'node:events'
import { expect, test } from 'vitest'
import { UnavailableError } from '#shared/errors.ts'
import { createHosts } from '#shared/nodes/host/hosts.ts'
import { sshTarget, type LabHost } from '../../lab/hosts/hosts.ts'
import { labHosts } from '../../lab/hosts/lab.ts'

const [lab] = labHosts as [LabHost]
const other = `SHA256:${'A'.repeat(43)}`

test('a host key that is pinned anew ends no program, and counts for the next connection', async () => {
  const { hostFor, closeAll } = createHosts()
  const target = { kind: 'ssh' as const, ...sshTarget(lab) }
  try {
    const host = hostFor('one', target)
    const cat = await host.spawn('cat', [])
    const says = async (text: string) => {
      cat.stdin.write(text)
      return String((await once(cat.stdout, 'data'))[0])
    }
    expect(await says('before')).toBe('before')
    expect(hostFor('one', { ...target, hostKey: other })).toBe(host)
    expect(await says('after')).toBe('after')
    expect((await host.run('echo', ['still'])).stdout).toBe('still\n')
    await cat.kill()

    // A connection of its own shows that the new key counts, and that the right one lets in again at once.
    const next = hostFor('two', { ...target, hostKey: other })
    await expect(next.run('true', [])).rejects.toThrow(UnavailableError)
    expect(hostFor('two', target)).toBe(next)
    expect((await next.run('echo', ['in'])).stdout).toBe('in\n')
  } finally {
    await closeAll()
  }
})
