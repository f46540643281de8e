import { commonHeaders } from './parts.ts'
import { file, type Json, parameter, refused } from './stream-parts.ts'

export const downloadPaths: Record<string, Json> = {
  '/storage/pools/{id}/volumes/{volume}/download': {
    get: {
      operationId: 'volume-downloads.download',
      summary: 'Download a volume, or a snapshot of it, as a file',
      description:
        'Needs DatastoreAllocate on /api/storage/pools/{id}, and VmBackup on the VM that the volume belongs to. That VM must be off, unless a snapshot is named. A connection that is cut says that the file is not whole. Ranges are for raw only.',
      tags: ['volumes'],
      parameters: [
        parameter('path', 'id', 'The storage pool'),
        parameter('path', 'volume', 'The volume'),
        parameter('query', 'format', 'raw, the default, or qcow2'),
        parameter('query', 'snapshot', 'A snapshot of the VM that the volume belongs to'),
        parameter('header', 'Range', 'One range of bytes'),
        parameter('header', 'If-Range', 'The ETag of the file that goes on'),
      ],
      responses: {
        ...file('application/octet-stream', 'The file'),
        206: { ...file('application/octet-stream', 'The range of the file')[200] },
        304: { description: 'The file has the ETag of If-None-Match', headers: commonHeaders },
        ...refused(400, 401, 403, 404, 409, 412, 416, 422, 429, 500, 503),
      },
    },
  },
}

export const fileDownloadPaths: Record<string, Json> = {
  '/backups/{id}/files/{volume}/download': {
    get: {
      operationId: 'backup-files.download',
      summary: 'Download a file or a folder from a disk of a backup',
      description:
        'Needs VmBackup on /api/backups/{id}. A guest of its own is started for it. Links are in the archive as links. A connection that is cut says that the archive or the file is not whole.',
      tags: ['backup-files'],
      parameters: [
        parameter('path', 'id', 'The backup'),
        parameter('path', 'volume', 'The volume, such as vda1'),
        parameter('query', 'path', 'Absolute path on the volume; %25 stands for a %', true),
        parameter('query', 'format', 'tar, the default, or raw for a single file'),
      ],
      responses: {
        ...file('application/x-tar', 'The archive; with raw the file, as application/octet-stream'),
        ...refused(400, 401, 403, 404, 409, 422, 429, 500, 503),
      },
    },
  },
}
