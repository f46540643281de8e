import { Readable } from 'node:stream'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { ServiceBroker } from 'moleculer'
import { asService } from '#shared/access/access.ts'
import { question } from '#shared/bus/call.ts'
import type { Result } from '#shared/contract/contract.ts'
import { consoles, type Recording } from '#shared/contracts/vm/consoles.ts'
import { ConflictError, invalid } from '#shared/errors.ts'
import { admit, type Gate, identifyAgain } from '../admission/admit.ts'
import { consoleRight, type ConsoleSessions } from './console-sessions.ts'

type Checked = Result<typeof consoles, 'check'>

/**
 * Routes of the consoles that answer files: the .vv of remote-viewer, and recordings.
 * @param mayStill throws when the user of a ticket, or their right to the console, is gone
 */
export function addConsoleFiles(
  app: FastifyInstance,
  broker: ServiceBroker,
  gate: Gate,
  mayStill: ConsoleSessions['prove'],
): void {
  const { recording } = consoles.actions
  const path = '/console/{vm_id}/recordings/{recording_id}/cast'
  const onRequest = admit(gate, {
    name: 'consoles.recording',
    method: 'GET',
    path,
    action: recording,
    contract: consoles,
  })

  app.get('/api/console/:vm_id/recordings/:recording_id/cast', { onRequest }, async (request, reply) => {
    const { vm_id, recording_id } = request.params as { vm_id: string; recording_id: string }
    const meta = () => ({ caller: request.caller, requestId: request.id })
    // The contract's own result.
    const { parts } = (await question(broker, 'consoles.recording', { vm_id, recording_id }, meta())) as Recording
    const part = async (number: number) => {
      const params = { vm_id, recording_id, part: number }
      return (await question(broker, 'consoles.part', params, meta())) as Result<typeof consoles, 'part'>
    }
    async function* text() {
      for (let number = 0; number < parts; number++) {
        await identifyAgain(request, gate.identify)
        yield (await part(number)).text
      }
    }
    return reply
      .type('application/x-asciicast')
      .header('content-disposition', `attachment; filename="${vm_id}-${recording_id.slice(0, 8)}.cast"`)
      .send(Readable.from(text()))
  })

  // Authorised by the ticket, as the WebSocket is; does not use it up.
  app.get('/api/console/:vm_id/vv', async (request, reply) => {
    await gate.limits.user(request, reply)
    const { vm_id } = request.params as { vm_id: string }
    const { ticket } = request.query as { ticket?: unknown }
    if (typeof ticket !== 'string' || ticket.length > 256) throw invalid('ticket', 'must be given once', 'required')
    const meta = { caller: asService('gateway'), requestId: request.id }
    const found = (await question(broker, 'consoles.check', { vm_id, ticket }, meta)) as Checked
    await mayStill(
      { kind: 'user', user: found.user, rights: '', address: request.address, credential: found.credential },
      consoleRight(vm_id),
    )
    return reply
      .type('application/x-virt-viewer')
      .header('content-disposition', `attachment; filename="${vm_id}.vv"`)
      .header('cache-control', 'no-store')
      .send(viewerFile(found, ticket, request))
  })
}

/** virt-viewer's file of settings (remote-viewer(1), "CONNECTION FILE"). */
function viewerFile(
  { console_type, vm_name, password }: Checked,
  ticket: string,
  { protocol, host }: FastifyRequest,
): string {
  if (console_type !== 'spice')
    throw new ConflictError(
      'A .vv file is for SPICE: remote-viewer has no way to take VNC through a proxy; use the console page for VNC',
    )
  const lines = [
    '[virt-viewer]',
    'type=spice',
    `title=${vm_name} (Horcrux)`,
    // The proxy knows the display by the ticket. The port is not looked at.
    `host=${ticket}`,
    'port=5900',
    `proxy=${protocol}://${host}`,
    ...(password === null ? [] : [`password=${password}`]),
    'delete-this-file=1',
  ]
  return `${lines.join('\n')}\n`
}
