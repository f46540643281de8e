import { expect, test } from 'vitest'
import { NotFoundError } from '#shared/errors.ts'
import { lunOf, nameOfUnit, unitsIn } from '../../../services/storage/drivers/iscsi/units.ts'

test('units are read with number, size and serial number; a device without one has `none`', () => {
  const units = unitsIn(
    [
      '1 67108864 Unit Serial Number:[                              beaf11]',
      '2 134217728 Unit Serial Number:[60:01/4a b$;]',
      '7 1024 no such page',
      'not a unit',
      '',
    ].join('\n'),
  )
  expect(units).toEqual([
    { lun: 1, size_bytes: 67_108_864, serial: 'beaf11' },
    { lun: 2, size_bytes: 134_217_728, serial: '60014ab' },
    { lun: 7, size_bytes: 1024, serial: 'none' },
  ])
})

test('a name tells the number of its unit, and another device has another name', () => {
  const name = nameOfUnit({ lun: 12, serial: 'beaf11' })
  expect(lunOf(name)).toBe(12)
  expect(nameOfUnit({ lun: 12, serial: 'beaf12' })).not.toBe(name)
  for (const other of ['web', 'lun-', 'lun-1', 'lun-1000-a', 'lun-1-a/b', 'lun--1-a'])
    expect(() => lunOf(other)).toThrow(NotFoundError)
})
