import { useState } from 'preact/hooks'
import { call } from '../api/client.ts'
import { asRefusal, type Refusal } from '../api/refusal.ts'
import { signIn } from '../api/session.ts'
import { Button } from '../widgets/button.tsx'
import { Problem } from '../widgets/states.tsx'
import { t, type Word } from '../words/words.ts'
import { Brand } from './brand.tsx'
import { setupToken } from './setup-token.ts'

/** The rules of passwords, as they are met while typing. The server decides. */
export const passwordRules = (password: string): [Word, boolean][] => [
  ['rule.length', password.length >= 8],
  ['rule.mixed', password.length >= 15 || (/[a-z]/.test(password) && /[A-Z]/.test(password) && /\d/.test(password))],
]

/** @returns a refusal after which the request may have been carried out @throws any other */
function outcomeUnknown(thrown: unknown): Refusal {
  const refusal = asRefusal(thrown)
  if (refusal.status !== 0 && refusal.status < 500) throw refusal
  return refusal
}

/** The first administrator; afterwards the dashboard shows the next steps. */
export function Wizard() {
  const [token, setToken] = useState(setupToken.value ?? '')
  const [username, setUsername] = useState('admin')
  const [password, setPassword] = useState('')
  const [error, setError] = useState<Refusal>()
  const [isBusy, setBusy] = useState(false)
  const wrong = (field: string) => error?.violations.find((each) => each.field === field)?.message
  const submit = async (event: Event) => {
    event.preventDefault()
    setBusy(true)
    try {
      const isUnknown = await call('auth.setup', { token: token.trim(), username, password }).then(
        () => undefined,
        (thrown) => outcomeUnknown(thrown),
      )
      // The user may have been made before the answer was lost: a sign-in tells.
      await signIn({ username, password }).catch((thrown: unknown) => {
        throw isUnknown ?? thrown
      })
    } catch (thrown) {
      setError(asRefusal(thrown))
      setBusy(false)
    }
  }
  return (
    <main class="door">
      <section class="card">
        <Brand />
        <h1>{t('welcome')}</h1>
        <p class="dim">{t('welcomeHint')}</p>
        <form class="form" onSubmit={submit}>
          {error && error.violations.length === 0 && <Problem error={error} />}
          <label class="field">
            <span>{t('f.setupToken')}</span>
            <input
              name="token"
              value={token}
              autocomplete="off"
              spellcheck={false}
              required
              onInput={({ currentTarget }) => setToken(currentTarget.value)}
            />
            <small>{t('setupTokenHint')}</small>
          </label>
          <label class="field">
            <span>{t('f.username')}</span>
            <input
              name="username"
              value={username}
              autocomplete="username"
              required
              aria-invalid={wrong('username') ? true : undefined}
              onInput={({ currentTarget }) => setUsername(currentTarget.value)}
            />
            {wrong('username') && <span class="wrong">{wrong('username')}</span>}
          </label>
          <label class="field">
            <span>{t('f.password')}</span>
            <input
              name="password"
              type="password"
              value={password}
              autocomplete="new-password"
              required
              aria-invalid={wrong('password') ? true : undefined}
              onInput={({ currentTarget }) => setPassword(currentTarget.value)}
            />
            {wrong('password') && <span class="wrong">{wrong('password')}</span>}
            {passwordRules(password).map(([word, isMet]) => (
              <small key={word}>
                {isMet ? '✓' : '○'} {t(word)}
              </small>
            ))}
          </label>
          <footer>
            <Button onClick={() => (setupToken.value = undefined)}>{t('haveAccount')}</Button>
            <Button type="submit" kind="main" isBusy={isBusy}>
              {t('createAdmin')}
            </Button>
          </footer>
        </form>
      </section>
    </main>
  )
}
