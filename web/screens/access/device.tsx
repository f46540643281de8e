import { useEffect, useState } from 'preact/hooks'
import { call } from '../../api/client.ts'
import type { ResultOf } from '../../api/contracts.ts'
import { asRefusal, type Refusal } from '../../api/refusal.ts'
import { Button } from '../../widgets/button.tsx'
import { Card, Page } from '../../widgets/layout.tsx'
import { Problem } from '../../widgets/states.tsx'
import { ago } from '../../words/format.ts'
import { t } from '../../words/words.ts'

type Device = ResultOf<'auth.device'>

/** Confirms the sign-in of a device, such as `horcrux login --device`, by its code. */
export function DevicePage() {
  const [code, setCode] = useState(new URLSearchParams(location.search).get('code') ?? '')
  const [device, setDevice] = useState<Device>()
  const [error, setError] = useState<Refusal>()
  const during = async (work: () => Promise<Device>) => {
    setError(undefined)
    try {
      setDevice(await work())
    } catch (thrown) {
      setError(asRefusal(thrown))
    }
  }
  const find = (wanted: string) => during(async () => (await call('auth.device', { user_code: wanted.trim() })).data)
  const decide = (approve: boolean) =>
    during(async () => (await call('auth.deviceConfirm', { user_code: device!.user_code, approve })).data)
  useEffect(() => {
    if (code) void find(code)
  }, [])
  return (
    <Page title={t('device.title')}>
      {error && <Problem error={error} />}
      {!device && (
        <form
          class="form"
          onSubmit={(event) => {
            event.preventDefault()
            void find(code)
          }}
        >
          <label class="field">
            <span>{t('device.code')}</span>
            <input
              name="code"
              value={code}
              autocomplete="off"
              spellcheck={false}
              required
              onInput={({ currentTarget }) => setCode(currentTarget.value)}
            />
            <small>{t('device.hint')}</small>
          </label>
          <footer>
            <Button type="submit" kind="main">
              {t('device.find')}
            </Button>
          </footer>
        </form>
      )}
      {device?.state === 'pending' && (
        <Card title={device.name}>
          <p class="dim">
            {device.user_code} · {device.address} · {ago(device.created_at)}
          </p>
          <p>{t('device.warning')}</p>
          <footer class="row">
            <Button onClick={() => decide(false)}>{t('device.deny')}</Button>
            <Button kind="main" onClick={() => decide(true)}>
              {t('device.approve')}
            </Button>
          </footer>
        </Card>
      )}
      {device && device.state !== 'pending' && (
        <p role="status">{t(device.state === 'approved' ? 'device.approved' : 'device.denied')}</p>
      )}
    </Page>
  )
}
