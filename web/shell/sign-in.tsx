import { useEffect, useRef, useState } from 'preact/hooks'
import { asRefusal } from '../api/refusal.ts'
import { signIn, userName } from '../api/session.ts'
import { Button } from '../widgets/button.tsx'
import { t } from '../words/words.ts'
import { Brand } from './brand.tsx'
import { setupToken } from './setup-token.ts'

export function SignIn() {
  return (
    <main class="door">
      <section class="card">
        <Brand />
        <h1>{t('signIn')}</h1>
        <SignInForm />
        <p class="dim">
          {t('firstStart')}{' '}
          <button type="button" class="button quiet" onClick={() => (setupToken.value = '')}>
            {t('useSetupToken')}
          </button>
        </p>
      </section>
    </main>
  )
}

/** The second factor is asked for when the server does; fields have the names that password managers know. */
export function SignInForm() {
  const [error, setError] = useState('')
  const [needsCode, setNeedsCode] = useState(false)
  const [isBusy, setBusy] = useState(false)
  const form = useRef<HTMLFormElement>(null)
  useEffect(
    () => form.current?.querySelector<HTMLElement>(needsCode ? '[name=totp]' : 'input:not([readonly])')?.focus(),
    [needsCode],
  )
  const submit = async (event: Event) => {
    event.preventDefault()
    const given = Object.fromEntries(new FormData(form.current!)) as Record<string, string>
    setBusy(true)
    try {
      await signIn({
        username: given['username'] ?? '',
        password: given['password'] ?? '',
        totp: given['totp'] || undefined,
      })
    } catch (thrown) {
      const refusal = asRefusal(thrown)
      const isCode = refusal.status === 401 && /second factor|totp|code/i.test(refusal.message)
      setError(isCode && !needsCode ? '' : refusal.message)
      if (isCode) setNeedsCode(true)
      setBusy(false)
    }
  }
  return (
    <form class="form" ref={form} onSubmit={submit}>
      {error && (
        <p class="problem" role="alert">
          {error}
        </p>
      )}
      <label class="field">
        <span>{t('f.username')}</span>
        <input
          name="username"
          autocomplete="username"
          required
          readOnly={userName() !== ''}
          value={userName() || undefined}
        />
      </label>
      <label class="field">
        <span>{t('f.password')}</span>
        <input name="password" type="password" autocomplete="current-password" required />
      </label>
      {needsCode && (
        <label class="field">
          <span>{t('f.totp')}</span>
          <input name="totp" inputMode="numeric" autocomplete="one-time-code" />
        </label>
      )}
      <Button type="submit" kind="main" isBusy={isBusy}>
        {t('signIn')}
      </Button>
    </form>
  )
}
