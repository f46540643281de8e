import type { Contract } from '#shared/contract/contract.ts'
import { topics } from '#shared/contracts/core/events.ts'
import { downloadPaths, fileDownloadPaths } from './downloads.ts'
import { commonHeaders } from './parts.ts'
import { file, type Json, parameter, refused } from './stream-parts.ts'

const vmId = parameter('path', 'vm_id', 'The virtual machine')
const upgraded = { description: 'It is a WebSocket from here on' }

const eventPaths: Record<string, Json> = {
  '/events': {
    get: {
      operationId: 'events.stream',
      summary: 'Follow the events as Server-Sent Events',
      description:
        'Needs: to be signed in. Each event is checked against the rights of who reads. No `topics` means all.',
      tags: ['events'],
      parameters: [
        parameter('query', 'topics', `Separated by commas: ${topics.join(', ')}`),
        parameter('query', 'from', 'The seq of the last event that was seen; 0 is the oldest that is kept'),
        parameter('header', 'Last-Event-ID', 'The same, as browsers send it; it counts before `from`'),
      ],
      responses: {
        ...file('text/event-stream', 'Events, as long as the connection and what was signed in with last'),
        ...refused(401, 422, 429, 500, 503),
      },
    },
  },
  '/ws': {
    get: {
      operationId: 'events.socket',
      summary: 'Follow the events over a WebSocket',
      description:
        'The proof comes with the request or in a message `{"token": …}`; then `{"topics": [...], "from": …}` says which events.',
      tags: ['events'],
      security: [{ bearer: [] }, { apiKey: [] }, { session: [] }, {}],
      parameters: [parameter('query', 'ticket', 'A one-time ticket of POST /auth/ws-ticket')],
      responses: { 101: upgraded, ...refused(401, 403, 429, 500, 503) },
    },
  },
}

const consolePaths: Record<string, Json> = {
  '/console/{vm_id}/websocket': {
    get: {
      operationId: 'consoles.socket',
      summary: 'Open a console over a WebSocket, with the subprotocol binary',
      description:
        'The ticket is the credential, and is used up. The bytes are those of VNC (RFB), of SPICE, or of the serial console.',
      tags: ['consoles'],
      security: [{}],
      parameters: [vmId, parameter('query', 'ticket', 'A ticket of POST /console/{vm_id}/vnc, spice or serial', true)],
      responses: { 101: upgraded, ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503) },
    },
  },
  '/console/{vm_id}/vv': {
    get: {
      operationId: 'consoles.viewerFile',
      summary: 'Get the file with which remote-viewer opens a SPICE console',
      description: 'The ticket is the proof; this does not use it up.',
      tags: ['consoles'],
      security: [{}],
      parameters: [vmId, parameter('query', 'ticket', 'A ticket for spice of POST /console/{vm_id}/spice', true)],
      responses: {
        ...file('application/x-virt-viewer', "remote-viewer's file of settings"),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
  '/console/{vm_id}/recordings/{recording_id}/cast': {
    get: {
      operationId: 'consoles.cast',
      summary: 'Get a recording of a serial console as asciicast v2',
      description: 'Needs what the recording itself needs.',
      tags: ['consoles'],
      parameters: [vmId, parameter('path', 'recording_id', 'The recording')],
      responses: {
        ...file('application/x-asciicast', 'For `asciinema play`'),
        ...refused(401, 403, 404, 422, 429, 500, 503),
      },
    },
  },
}

const uploadPaths: Record<string, Json> = {
  '/storage/pools/{id}/uploads/{upload}': {
    patch: {
      operationId: 'uploads.write',
      summary: 'Send bytes of an uploaded file',
      description:
        'Needs DatastoreAllocate on /api/storage/pools/{id}. The body goes on where the last one has ended; 409 has `received_bytes`. A request is answered within 120 s.',
      tags: ['uploads'],
      parameters: [
        parameter('path', 'id', 'The storage pool'),
        parameter('path', 'upload', 'The upload'),
        parameter('query', 'offset', 'The place of the first byte in the file', true),
      ],
      requestBody: {
        required: true,
        content: { 'application/octet-stream': { schema: { type: 'string', format: 'binary' } } },
      },
      responses: {
        200: {
          description: 'The upload, with `received_bytes`',
          headers: commonHeaders,
          content: { 'application/json': { schema: { type: 'object' } } },
        },
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
}

const containerId = parameter('path', 'id', 'The container')
const containerPaths: Record<string, Json> = {
  '/containers/{id}/websocket': {
    get: {
      operationId: 'container-streams.socket',
      summary: 'Run a command, attach to a container, or follow its log over a WebSocket, with the subprotocol binary',
      description:
        'The ticket is the credential, and is used up. Binary messages to the server are input. Those to the client begin with a byte: 1 output, 2 errors. Texts are JSON: `resize`, `signal` and `end_input` to the server; `exit_code` with `reason`, errors, or parts of a log to the client.',
      tags: ['container-streams'],
      security: [{}],
      parameters: [
        containerId,
        parameter('query', 'ticket', 'A ticket of POST /containers/{id}/exec, attach or logs/socket', true),
      ],
      responses: { 101: upgraded, ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503) },
    },
  },
  '/containers/{id}/files': {
    get: {
      operationId: 'container-streams.getFiles',
      summary: 'Get a file or a folder of a running container as a tar archive',
      description: 'Needs ContainerExec on /api/containers/{id}. Links are resolved inside the container.',
      tags: ['container-streams'],
      parameters: [containerId, parameter('query', 'path', 'Absolute path in the container', true)],
      responses: {
        ...file('application/x-tar', 'The archive; a connection that is cut says that it is not whole'),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
    put: {
      operationId: 'container-streams.putFiles',
      summary: 'Unpack a tar archive in a folder of a running container',
      description:
        'Needs ContainerExec on /api/containers/{id}. Links are resolved inside the container. The body must arrive within 120 s.',
      tags: ['container-streams'],
      parameters: [containerId, parameter('query', 'path', 'Absolute path of an existing folder', true)],
      requestBody: {
        required: true,
        content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
      },
      responses: {
        204: { description: 'All is unpacked', headers: commonHeaders },
        ...refused(400, 401, 403, 404, 409, 413, 422, 429, 500, 503),
      },
    },
  },
  '/containers/{id}/export': {
    get: {
      operationId: 'container-streams.export',
      summary: 'Get a whole container as a tar archive',
      description:
        'Needs ContainerExec on /api/containers/{id}. Its root file system; on LXD and Incus a backup that their own import takes.',
      tags: ['container-streams'],
      parameters: [containerId],
      responses: {
        ...file('application/x-tar', 'The archive; a connection that is cut says that it is not whole'),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
  '/images/{id}/export': {
    get: {
      operationId: 'container-streams.exportImage',
      summary: 'Get an image as a tar archive that its engine imports',
      description: 'Needs ContainerAllocate on /api/images/{id}.',
      tags: ['container-streams'],
      parameters: [parameter('path', 'id', 'The image')],
      responses: {
        ...file('application/x-tar', 'The archive; a connection that is cut says that it is not whole'),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
  '/images/upload': {
    post: {
      operationId: 'container-streams.uploadImage',
      summary: 'Make an image of a tar archive that is sent',
      description: 'Needs ContainerAllocate on /api/images, and a Content-Length. The body must arrive within 120 s.',
      tags: ['container-streams'],
      parameters: [
        parameter('query', 'node', 'Default: local'),
        parameter('query', 'runtime', 'The engine; default: docker'),
        parameter('query', 'kind', "image: the engine's own archive, the default; rootfs: a root file system"),
        parameter('query', 'name', 'Name of the image; required for rootfs'),
      ],
      requestBody: {
        required: true,
        content: { 'application/x-tar': { schema: { type: 'string', format: 'binary' } } },
      },
      responses: {
        201: {
          description: 'The image',
          headers: commonHeaders,
          content: { 'application/json': { schema: { type: 'object' } } },
        },
        ...refused(400, 401, 403, 404, 409, 413, 422, 429, 500, 503),
      },
    },
  },
  '/containers/{id}/logs/stream': {
    get: {
      operationId: 'containers.followLogs',
      summary: 'Follow the log of a container as Server-Sent Events',
      description:
        'Needs ContainerAudit on /api/containers/{id}. The id of each event is the cursor behind it. `gap` says that lines may be missing before it.',
      tags: ['containers'],
      parameters: [
        containerId,
        parameter('query', 'tail', 'Lines to begin with; default 100'),
        parameter('query', 'since', 'Time of the first line, in RFC 3339'),
        parameter('query', 'cursor', 'next_cursor of an answer before'),
        parameter('header', 'Last-Event-ID', 'A cursor, as browsers send it; it counts before `cursor`'),
      ],
      responses: {
        ...file('text/event-stream', 'Events of the kind logs, as long as the connection'),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
}

/** The routes whose bodies are streams or files: no contract has them. */
export const streamPaths = (contracts: readonly Contract[]): Record<string, Json> => ({
  ...eventPaths,
  ...(contracts.some(({ name }) => name === 'consoles') && consolePaths),
  ...(contracts.some(({ name }) => name === 'uploads') && uploadPaths),
  ...(contracts.some(({ name }) => name === 'volume-downloads') && downloadPaths),
  ...(contracts.some(({ name }) => name === 'backup-files') && fileDownloadPaths),
  ...(contracts.some(({ name }) => name === 'container-streams') && containerPaths),
})
