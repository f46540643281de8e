import type { DockerApi } from '#shared/nodes/docker/client.ts'
import type { ArchiveSink, ArchiveSource } from '../files.ts'

const pathOf = (engineId: string, path: string) => `/containers/${engineId}/archive?${new URLSearchParams({ path })}`

/** Reads a part of a container (Docker API, ContainerArchive). The engine resolves links inside the container. */
export const readArchive = (api: DockerApi, engineId: string, path: string) => readWhole(api, pathOf(engineId, path))

/** Reads an archive that the engine makes (Docker API, ContainerExport, ImageGet). */
export async function readWhole(api: DockerApi, path: string): Promise<ArchiveSource> {
  const { socket } = await api.stream({ method: 'GET', path })
  return {
    // A socket yields buffers unless it is given an encoding.
    bytes: socket as AsyncIterable<Buffer>,
    close: () => socket.destroy(),
    end: async () => undefined,
  }
}

/** Unpacks an archive in a folder of a container (Docker API, PutContainerArchive). */
export async function writeArchive(api: DockerApi, engineId: string, path: string): Promise<ArchiveSink> {
  // Asks first: an engine refuses only after it has read the whole body.
  const { socket } = await api.stream({ method: 'GET', path: pathOf(engineId, `${path}/.`) })
  socket.destroy()
  const { input, close, end } = await api.upload(pathOf(engineId, path))
  return { input, close, end }
}
