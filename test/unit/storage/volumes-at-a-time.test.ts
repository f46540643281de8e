import { expect, test } from 'vitest'
import type { VolumeRecord } from '../../../services/storage/models.ts'
import { forEach } from '../../../services/storage/snapshots/records.ts'

const volumes = (count: number) =>
  // Only the name is read here.
  Array.from({ length: count }, (_, number) => ({ name: `v${number}` }) as unknown as VolumeRecord)
const numberOf = ({ name }: VolumeRecord) => Number(name.slice(1))
const turns = async (count: number) => {
  for (let turn = 0; turn < count; turn++) await Promise.resolve()
}

test('volumes are worked on four at a time, with their results in order', async () => {
  let [atWork, most] = [0, 0]
  const results = await forEach(volumes(11), async (volume) => {
    most = Math.max(most, ++atWork)
    // Later ones are faster.
    await turns(40 - 3 * numberOf(volume))
    atWork--
    return volume.name
  })
  expect(results).toEqual(volumes(11).map(({ name }) => name))
  expect(most).toBe(4)
  expect(await forEach([], async () => 1)).toEqual([])
})

test('after a failure no further volume is begun, and those under way end before it is told', async () => {
  const [begun, ended]: [number[], number[]] = [[], []]
  const working = forEach(volumes(9), async (volume) => {
    const number = numberOf(volume)
    begun.push(number)
    await turns(number === 1 ? 3 : 30)
    if (number === 1) throw new Error('volume 1 is full')
    ended.push(number)
  })
  await expect(working).rejects.toThrow('volume 1 is full')
  expect(begun).toEqual([0, 1, 2, 3])
  expect(ended).toEqual([0, 2, 3])
})
