import { ErrorBoundary, lazy } from 'preact-iso'
import { useEffect } from 'preact/hooks'
import { call } from '../api/client.ts'
import { readSession, session } from '../api/session.ts'
import { Button } from '../widgets/button.tsx'
import { Dialog } from '../widgets/dialog.tsx'
import { Empty } from '../widgets/states.tsx'
import { t } from '../words/words.ts'
import { SignIn, SignInForm } from './sign-in.tsx'
import { setupToken } from './setup-token.ts'
import { Wizard } from './wizard.tsx'

let wasSetupOffered = false

/** Shows the wizard in place of the sign-in while there is no user; once, so that its way to the sign-in works. */
async function offerSetup(): Promise<void> {
  if (wasSetupOffered) return
  wasSetupOffered = true
  const { data } = await call('auth.setupNeeded', {}).catch(() => ({ data: { needed: false } }))
  if (data.needed) setupToken.value ??= ''
}

/** Loaded after the sign-in, whose page is small. */
const Shell = lazy(() => import('./shell.tsx').then(({ Shell }) => Shell))

/** The page: the wizard, the sign-in, or the shell; a sign-in dialog above the shell if the session has ended. */
export function App() {
  const { is } = session.value
  const isIn = is === 'in'
  useEffect(() => {
    if (!isIn) return undefined
    const begun = import('./signed-in.ts').then(({ keepFresh }) => keepFresh())
    return () => void begun.then((end) => end())
  }, [isIn])
  useEffect(() => void (is === 'out' && offerSetup()), [is])
  if (is === 'unknown') return null
  if (is === 'unreachable')
    return (
      <main class="door">
        <Empty title={t('unreachable')}>
          <Button kind="main" onClick={readSession}>
            {t('retry')}
          </Button>
        </Empty>
      </main>
    )
  if (is === 'out') return setupToken.value === undefined ? <SignIn /> : <Wizard />
  return (
    <>
      <ErrorBoundary>
        <Shell />
      </ErrorBoundary>
      {is === 'expired' && (
        <Dialog title={t('sessionEnded')} onClose={() => undefined} isFixed>
          <p class="dim">{t('sessionEndedHint')}</p>
          <SignInForm />
        </Dialog>
      )}
    </>
  )
}
