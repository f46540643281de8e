import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useUrlState } from '../../lists/url-state.ts'
import { Empty } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'

/** The console page in a frame of its own, because its terminal needs another content security policy. */
export function Console({ vm }: { vm: Vm }) {
  const [chosen, choose] = useUrlState('type')
  const hasScreen = vm.graphics.includes('vnc')
  const type = chosen === 'serial' || !hasScreen ? 'serial' : 'vnc'
  if (vm.status !== 'running' && vm.status !== 'paused')
    return (
      <Empty title={t('consoleOff')}>
        <p>{t('consoleOffHint')}</p>
      </Empty>
    )
  const address = `/console/?vm=${encodeURIComponent(vm.id)}&type=${type}`
  return (
    <div class="stack">
      <div class="row">
        <label class="row">
          {t('f.console')}
          <select value={type} onChange={({ currentTarget }) => choose(currentTarget.value, 'push')}>
            {hasScreen && <option value="vnc">{t('screen')}</option>}
            <option value="serial">{t('terminal')}</option>
          </select>
        </label>
        <a class="button" href={address} target="_blank" rel="noopener">
          {t('ownWindow')}
        </a>
      </div>
      <iframe
        key={address}
        class="console-frame"
        src={`${address}&embedded=1`}
        title={`${t('f.console')} ${vm.name}`}
        allow="clipboard-read; clipboard-write; fullscreen"
      />
    </div>
  )
}
