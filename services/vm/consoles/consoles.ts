import { consoles } from '#shared/contracts/vm/consoles.ts'
import { ForbiddenError, invalid } from '#shared/errors.ts'
import { reach } from '#shared/nodes/nodes.ts'
import { implement } from '#shared/service/implement.ts'
import { vmRecords } from '../model.ts'
import { endpointOf } from './endpoint.ts'
import { recordings, tickets } from './models.ts'
import { append, partOf, recordingOf, remove } from './recordings.ts'
import { close, issue, redeem, statusOf, unused } from './tickets.ts'
import { writeSerial } from './write.ts'

export const consoleService = implement(consoles, {
  open: async ({ vm_id, console_type, record }, { caller }) => {
    // A ticket is bound to a user, so that the rights can be checked again.
    if (caller.kind !== 'user') throw new ForbiddenError('A console is opened by a user')
    if (record && console_type !== 'serial') throw invalid('record', 'only serial consoles are recorded', 'unsupported')
    const vm = await vmRecords.require(vm_id)
    const endpoint = await endpointOf(vm, console_type)
    const { node } = await reach(vm.node)
    const { user, credential } = caller
    const made = await issue({ vm_id, console_type, user, credential, record })
    const display = endpoint.kind === 'display' ? endpoint : null
    return {
      vm_id,
      console_type,
      ...made,
      websocket_path: `/api/console/${vm_id}/websocket?ticket=${made.ticket}`,
      host: node.kind === 'local' ? '127.0.0.1' : node.address,
      port: display && 'port' in display.socket ? display.socket.port : null,
      password: display?.password ?? null,
    }
  },
  ticket: ({ ticket_id }, { caller }) => statusOf(ticket_id, caller.kind === 'user' ? caller.user : ''),
  write: ({ id, text }) => writeSerial(id, text),

  recordings: async ({ vm_id, ...query }, { maySee }) => {
    await vmRecords.require(vm_id)
    const page = await recordings.list(query, maySee, { vm_id })
    return { ...page, data: page.data.map(({ version: _, ...recording }) => recording) }
  },
  recording: ({ vm_id, recording_id }) => recordingOf(vm_id, recording_id),
  deleteRecording: ({ vm_id, recording_id }) => remove(vm_id, recording_id),
  part: ({ vm_id, recording_id, part }) => partOf(vm_id, recording_id, part),
  append: ({ recording_id, ...part }) => append(recording_id, part),

  check: async ({ vm_id, ticket }) => {
    const { console_type, user, credential } = await unused(ticket, vm_id)
    const vm = await vmRecords.require(vm_id)
    const endpoint = await endpointOf(vm, console_type)
    const password = endpoint.kind === 'display' ? endpoint.password : null
    return { console_type, vm_name: vm.name, password, user, credential }
  },
  redeem,
  keep: async ({ ticket_ids }) => {
    const open = await tickets.all({ _id: { $in: ticket_ids } })
    const guests = new Map(
      (await vmRecords.all({ _id: { $in: open.map(({ vm_id }) => vm_id) } })).map((vm) => [vm.id, vm]),
    )
    const vmOf = new Map(open.map(({ id, vm_id, closed_at }) => [id, closed_at === null ? vm_id : '']))
    return ticket_ids.flatMap((ticket_id) => {
      const vm = guests.get(vmOf.get(ticket_id) ?? '')
      if (vm && vm.status !== 'stopped') return []
      return [{ ticket_id, reason: vm ? 'The virtual machine was stopped' : 'The virtual machine was deleted' }]
    })
  },
  close: async ({ ticket_id, reason }) => {
    await close(ticket_id, reason)
    return null
  },
})
