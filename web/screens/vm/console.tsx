import type { Vm } from '#shared/contracts/vm/vms.ts'
import { useUrlState } from '../../lists/url-state.ts'
import { Empty } from '../../widgets/states.tsx'
import { t } from '../../words/words.ts'
import { ConsoleFrame } from '../console-frame.tsx'

/** The screen or the serial terminal of a VM. */
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
  return (
    <ConsoleFrame query={`vm=${encodeURIComponent(vm.id)}&type=${type}`} title={`${t('f.console')} ${vm.name}`}>
      <label class="row">
        {t('f.console')}
        <select value={type} onChange={({ currentTarget }) => choose(currentTarget.value, 'push')}>
          {hasScreen && <option value="vnc">{t('screen')}</option>}
          <option value="serial">{t('terminal')}</option>
        </select>
      </label>
    </ConsoleFrame>
  )
}
