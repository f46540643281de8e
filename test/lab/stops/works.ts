import type { Asking } from './clients.ts'

const GiB = 2 ** 30
type Named = Record<string, unknown>

const descriptionOf = (body: Named) => body['description']

/** Changes a role again and again; deletes it and makes it anew. */
export async function changeRole(client: Asking, turn: number): Promise<void> {
  const read = '/api/roles/model'
  const make = { name: 'model', description: 'new', privileges: ['VmAudit'] }
  if (turn === 0) await client.do('POST /api/roles', make)
  const put = { description: `turn ${turn}`, privileges: ['VmAudit'] }
  const dice = client.random()
  if (dice < 0.15) {
    if (!(await client.do('DELETE /api/roles/model'))) return
    await client.expect(read, null, descriptionOf)
    await client.do('POST /api/roles', make)
    return client.expect(read, 'new', descriptionOf)
  }
  if (dice < 0.7) {
    if (await client.do('PUT /api/roles/model', put)) await client.expect(read, put.description, descriptionOf)
    return
  }
  // Asked once: when the outcome is unknown, it is found out by a look, and holds from then on.
  const isMade = await client.once('PUT /api/roles/model', put)
  const found = await client.read(read)
  const seen = found && descriptionOf(found)
  if (isMade === true && seen !== put.description)
    client.violate(`${put.description} was answered, ${String(seen)} is there`)
  if (isMade === false && seen === put.description) client.violate(`${put.description} was not begun, and is there`)
  await client.expect(read, seen, descriptionOf)
}

const sizeOf = (body: Named) => body['size_bytes']

/** Makes volumes, grows and deletes them; every fourth stays. */
export async function changeVolumes(client: Asking, turn: number): Promise<void> {
  const name = `model-${turn}`
  const pool = '/api/storage/pools/images/volumes'
  const read = `${pool}/${name}`
  if (!(await client.do(`POST ${pool}`, { name, size: GiB }))) return client.expect(read, null, sizeOf)
  await client.expect(read, GiB, sizeOf)
  if (await client.do(`POST ${pool}/${name}/resize`, { size: 2 * GiB })) await client.expect(read, 2 * GiB, sizeOf)
  if (client.random() < 0.25) return
  if (await client.do(`DELETE ${read}`)) await client.expect(read, null, sizeOf)
}

const guestOf = (body: Named) => [
  body['status'],
  body['description'],
  (body['disks'] as { id: string; size_bytes: number }[]).map((disk) => `${disk.id} ${disk.size_bytes}`).join(),
]

/** The life of a VM with a clone; deleted in the end. */
export async function changeVms(client: Asking, turn: number): Promise<void> {
  const id = `model-vm-${turn}`
  const read = `/api/vms/${id}`
  const vm = { id, name: id, memory: 128, cpus: 1, node: 'hv1', disks: [{ pool: 'images', size: GiB }] }
  let state = ['stopped', '', `vda ${GiB}`]
  const step = async (line: string, json: unknown, next: string[]) => {
    if (await client.do(line, json)) state = next
    await client.expect(read, state, guestOf)
  }
  if (!(await client.do('POST /api/vms', vm))) return client.expect(read, null, guestOf)
  await client.expect(read, state, guestOf)
  await step(`PATCH ${read}`, { description: `turn ${turn}` }, ['stopped', `turn ${turn}`, state[2]!])
  await step(`POST ${read}/disks`, { pool: 'images', size: GiB }, [state[0]!, state[1]!, `vda ${GiB},vdb ${GiB}`])
  if (client.random() < 0.5) await step(`POST ${read}/start`, {}, ['running', state[1]!, state[2]!])
  const copy = `${read}-copy`
  if (await client.do(`POST ${read}/clone`, { id: `${id}-copy`, name: `${id}-copy`, mode: 'full' })) {
    await client.expect(copy, 'stopped', (body) => body['status'])
    if (await client.do(`DELETE ${copy}?purge=true`)) await client.expect(copy, null, (body) => body['status'])
  } else await client.expect(copy, null, (body) => body['status'])
  if (state[0] === 'running') await step(`POST ${read}/stop`, { force: true }, ['stopped', state[1]!, state[2]!])
  if (state[0] === 'stopped' && state[2]!.includes('vdb'))
    await step(`DELETE ${read}/disks/vdb?purge=true`, undefined, [state[0], state[1]!, `vda ${GiB}`])
  for (let tries = 0; tries < 5; tries++)
    if (await client.do(`DELETE ${read}?purge=true`)) return client.expect(read, null, guestOf)
}
