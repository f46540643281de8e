import type { Backup } from '#shared/contracts/storage/backups.ts'
import type { FileEntry, FileVolume } from '#shared/contracts/storage/backup-files.ts'
import { useState } from 'preact/hooks'
import { requestOf } from '../../api/client.ts'
import { download } from '../../api/download.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { useQuery } from '../../live/cache.ts'
import { Button } from '../../widgets/button.tsx'
import type { Column } from '../../widgets/column.ts'
import { Empty, Loaded, Problem } from '../../widgets/states.tsx'
import { Table } from '../../widgets/table.tsx'
import { bytes, time } from '../../words/format.ts'
import { t } from '../../words/words.ts'
import './backup-words.ts'
import './words.ts'

type At = { id: string; volume: string; path: string }
/** Time for the start of the guest, which an emulating host needs. */
const patienceSeconds = 120
/** Entries that one request returns. */
const pageSize = 500

const parentOf = (path: string) => path.slice(0, path.lastIndexOf('/')) || '/'
const nameOf = ({ id, label, type, size_bytes }: FileVolume) =>
  `${id}: ${[label, type, bytes(size_bytes)].filter(Boolean).join(', ')}`

const columnsWith = (open: (path: string) => void): Column<FileEntry>[] => [
  {
    key: 'name',
    head: 'f.name',
    cell: ({ name, kind, path, target }) =>
      kind === 'folder' ? (
        <Button kind="quiet" onClick={() => open(path)}>
          {name}/
        </Button>
      ) : (
        <>
          <span class="mono">{name}</span> {target !== null && <span class="dim">→ {target}</span>}
        </>
      ),
  },
  {
    key: 'size',
    head: 'f.size',
    cell: (entry) => (entry.kind === 'file' ? bytes(entry.size_bytes) : ''),
    isNumeric: true,
  },
  { key: 'modified', head: 'f.modifiedAt', cell: ({ modified_at }) => time(modified_at), drop: 2 },
  { key: 'mode', head: 'f.fileMode', cell: ({ mode }) => <span class="mono">{mode}</span>, drop: 1 },
]

type FolderProps = { at: At; cursor?: string; onOpen: (path: string) => void; onDownload: (entry: FileEntry) => void }

/** A page of a folder, and those behind it once they are asked for. */
function Folder({ at, cursor, onOpen, onDownload }: FolderProps) {
  const found = useQuery('backup-files.list', {
    ...at,
    limit: pageSize,
    timeout: patienceSeconds,
    ...(cursor !== undefined && { cursor }),
  })
  const [hasMore, showMore] = useState(false)
  return (
    <Loaded of={found}>
      {({ data, next_cursor }) => (
        <>
          {data.length === 0 && <Empty title={t('emptyFolder')} />}
          {data.length > 0 && (
            <Table
              label={at.path}
              columns={columnsWith(onOpen)}
              rows={data}
              idOf={({ path }) => path}
              rowActions={(entry) =>
                (entry.kind === 'file' || entry.kind === 'folder') && (
                  <Button label={t('downloadFile', { name: entry.name })} onClick={() => onDownload(entry)}>
                    {t('verb.download')}
                  </Button>
                )
              }
            />
          )}
          {next_cursor !== null && !hasMore && <Button onClick={() => showMore(true)}>{t('more')}</Button>}
          {next_cursor !== null && hasMore && <Folder {...{ at, onOpen, onDownload }} cursor={next_cursor} />}
        </>
      )}
    </Loaded>
  )
}

/** Files and folders on the disks of a backup. A small guest is started for them, so that the first answer takes a moment. */
export function BackupFiles({ backup: { id }, onClose }: { backup: Backup; onClose: () => void }) {
  const found = useQuery('backup-files.volumes', { id, timeout: patienceSeconds })
  const [chosen, choose] = useState<{ volume: string; path: string }>()
  const [error, setError] = useState<Refusal>()
  const take = async (volume: string, { kind, path }: FileEntry) => {
    setError(undefined)
    const format = kind === 'file' ? ('raw' as const) : ('tar' as const)
    await download(requestOf('backup-files.open', { id, volume, path, format }).url).catch((thrown: unknown) =>
      setError(asRefusal(thrown)),
    )
  }
  return (
    <div class="form">
      {found.data === undefined && !found.error && <p class="dim">{t('readingBackup')}</p>}
      <Loaded of={found}>
        {({ volumes, problems }) => {
          const first = volumes.find((each) => each.readable)
          const { volume, path } = chosen ?? { volume: first?.id, path: '/' }
          return (
            <>
              {error && <Problem error={error} />}
              {problems.map((problem) => (
                <p key={problem} class="dim">
                  {problem}
                </p>
              ))}
              <label class="field">
                <span>{t('f.fileSystem')}</span>
                <select
                  value={volume}
                  onChange={({ currentTarget }) => choose({ volume: currentTarget.value, path: '/' })}
                >
                  {volumes.map((each) => (
                    <option key={each.id} value={each.id} disabled={!each.readable}>
                      {each.reason === null ? nameOf(each) : `${nameOf(each)} – ${each.reason}`}
                    </option>
                  ))}
                </select>
              </label>
              {volume === undefined ? (
                <Empty title={t('noReadableVolume')} />
              ) : (
                <>
                  <p class="crumbs">
                    <Button
                      icon="up"
                      label={t('parentFolder')}
                      reason={path === '/' ? t('isTopFolder') : undefined}
                      onClick={() => choose({ volume, path: parentOf(path) })}
                    />
                    <span class="mono">{path}</span>
                  </p>
                  <Folder
                    key={`${volume} ${path}`}
                    at={{ id, volume, path }}
                    onOpen={(next) => choose({ volume, path: next })}
                    onDownload={(entry) => void take(volume, entry)}
                  />
                </>
              )}
            </>
          )
        }}
      </Loaded>
      <footer>
        <Button onClick={onClose}>{t('close')}</Button>
      </footer>
    </div>
  )
}
