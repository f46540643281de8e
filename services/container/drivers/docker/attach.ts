import { setTimeout as delay } from 'node:timers/promises'
import { AppError } from '#shared/errors.ts'
import type { DockerApi } from '#shared/nodes/docker/client.ts'
import type { Ended, Process } from '../process.ts'
import { noDetachKeys, piecesOf } from './exec.ts'

/** Time in which the engine has heard the end of a container whose streams have ended. */
const endWithin = { tries: 100, everyMs: 20 }

/** Attaches to the first process of a container (Docker API, ContainerAttach). Its input is open only if it was made so. */
export async function attach(api: DockerApi, engineId: string, hasInput: boolean): Promise<Process> {
  const { Config } = await api.ask((docker) => docker.getContainer(engineId).inspect())
  const path = `/containers/${engineId}`
  const takesInput = hasInput && Config.OpenStdin
  const query = new URLSearchParams({
    stream: '1',
    stdout: '1',
    stderr: '1',
    stdin: takesInput ? '1' : '0',
    detachKeys: noDetachKeys,
  })
  const { socket } = await api.stream({ method: 'POST', path: `${path}/attach?${query}`, isUpgrade: true })
  return {
    output: piecesOf(socket, Config.Tty),
    input: takesInput ? socket : null,
    resize: async ({ columns, rows }) => {
      if (Config.Tty) await api.post(`${path}/resize?h=${rows}&w=${columns}`)
    },
    close: () => socket.destroy(),
    end: () => endOf(api, engineId),
  }
}

async function endOf(api: DockerApi, engineId: string): Promise<Ended> {
  try {
    for (let turn = 0; turn < endWithin.tries; turn++) {
      const { State } = await api.ask((docker) => docker.getContainer(engineId).inspect())
      if (!State.Running) return { code: State.ExitCode, reason: 'exited' }
      await delay(endWithin.everyMs)
    }
  } catch (error) {
    if (!(error instanceof AppError)) throw error
  }
  return { code: null, reason: 'lost' }
}
