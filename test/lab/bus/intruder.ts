import { readFile } from 'node:fs/promises'
import { connect, type NatsConnection, nkeyAuthenticator } from 'nats'
import { keyFile } from '#shared/bus/identity/keys.ts'
import { inboxPrefix } from '#shared/bus/identity/subjects.ts'

/** A client of the bus with the secret of one identity, limited only by NATS's permissions. */
export type Intruder = {
  nats: NatsConnection
  /** Tries to hear and to send on these subjects. @returns those that NATS refuses */
  refused: (wanted: { hear?: readonly string[]; send?: readonly string[] }) => Promise<string[]>
  close: () => Promise<void>
}

/** @param server address of NATS; @param folder of the identities' secrets */
export async function intrude(server: string, folder: string, name: string): Promise<Intruder> {
  const seed = (await readFile(keyFile(folder, name), 'utf8')).trim()
  const nats = await connect({
    servers: server,
    authenticator: nkeyAuthenticator(Buffer.from(seed)),
    inboxPrefix: inboxPrefix(name),
    reconnect: false,
  })
  let refusals: string[] = []
  const watch = async () => {
    for await (const { permissionContext } of nats.status())
      if (permissionContext) refusals.push(permissionContext.subject)
  }
  void watch()
  return {
    nats,
    refused: async ({ hear = [], send = [] }) => {
      refusals = []
      const heard = hear.map((subject) => nats.subscribe(subject, { callback: () => undefined }))
      for (const subject of send) nats.publish(subject)
      // NATS answers in order: every refusal has come before the answer to this. The iterator tells of it a tick later.
      await nats.flush()
      await new Promise((resolve) => setImmediate(resolve))
      for (const subscription of heard) subscription.unsubscribe()
      await nats.flush()
      return [...new Set(refusals)]
    },
    close: () => nats.close(),
  }
}
