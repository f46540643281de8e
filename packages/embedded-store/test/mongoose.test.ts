import mongoose, { type Connection, Schema } from 'mongoose'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
let connection: Connection
beforeAll(async () => {
  lab = await startTestStore()
  connection = await mongoose.createConnection(lab.url('mongoose')).asPromise()
})
afterAll(async () => {
  await connection.close()
  await lab.stop()
})

const schema = new Schema(
  {
    _id: String,
    name: { type: String, required: true, unique: true },
    disks: [{ _id: false, id: String, bytes: Number }],
    labels: { type: Map, of: String },
    state: { type: String, default: 'stopped', index: true },
    owner: Schema.Types.ObjectId,
    raw: Buffer,
    size: Schema.Types.Mixed,
  },
  { timestamps: true, optimisticConcurrency: true },
)

test('a model makes its collection and indexes, and works as on MongoDB', async () => {
  const Vm = connection.model('Vm', schema)
  await Vm.init()
  expect((await Vm.listIndexes()).map(({ name }) => name)).toEqual(['_id_', 'name_1', 'state_1'])
  const vm = await Vm.create({
    _id: 'vm1',
    name: 'web',
    disks: [{ id: 'd1', bytes: 5e9 }],
    labels: { a: 'b' },
    raw: Buffer.from('x'),
  })
  vm.disks.push({ id: 'd2', bytes: 1 })
  vm.labels?.set('c', 'd')
  await vm.save()
  const found = await Vm.findById('vm1')
  expect(found?.toObject({ flattenMaps: true })).toMatchObject({
    name: 'web',
    disks: [{ id: 'd1', bytes: 5e9 }, { id: 'd2' }],
    labels: { a: 'b', c: 'd' },
    state: 'stopped',
  })
  await expect(Vm.create({ _id: 'vm2', name: 'web' })).rejects.toMatchObject({ code: 11000, keyValue: { name: 'web' } })
  await expect(
    Vm.updateOne({ _id: 'vm1' }, { $set: { 'disks.$[d].bytes': 7 } }, { arrayFilters: [{ 'd.id': 'd2' }] }),
  ).resolves.toMatchObject({ modifiedCount: 1 })
  const [listed] = await Vm.find({ state: 'stopped', 'disks.bytes': 7 }).sort({ createdAt: -1 }).limit(10).lean()
  expect(listed).toMatchObject({ _id: 'vm1' })
  await expect(vm.set('name', 'other').save()).resolves.toBeDefined()
  const stale = await Vm.findById('vm1')
  await Vm.findByIdAndUpdate('vm1', { $inc: { __v: 1 } })
  await expect(stale?.set('name', 'stale').save()).rejects.toMatchObject({ name: 'VersionError' })
  await Vm.bulkWrite([{ updateOne: { filter: { _id: 'vm9' }, update: { $set: { name: 'nine' } }, upsert: true } }])
  expect(await Vm.countDocuments()).toBe(2)
  await Vm.deleteMany({})
  expect(await Vm.exists({})).toBeNull()
})

test('a cursor of mongoose reads all, in order', async () => {
  const Event = connection.model('Event', new Schema({ _id: Number, at: Date }))
  await Event.insertMany(Array.from({ length: 500 }, (_, i) => ({ _id: i, at: new Date(i) })))
  const ids: number[] = []
  for await (const event of Event.find().sort({ _id: -1 }).cursor({ batchSize: 50 })) ids.push(Number(event._id))
  expect(ids).toEqual(Array.from({ length: 500 }, (_, i) => 499 - i))
})
