import { t } from './words.js'

/** Error answer of the API, with its message. */
export class Refused extends Error {
  constructor(status, message) {
    super(message)
    this.status = status
  }
}

/** Sends a request to the API with the session cookie. @returns the JSON of the answer */
export async function ask(method, path, body) {
  const answer = await fetch(`/api${path}`, {
    method,
    headers: { 'X-Horcrux-Request': 'console', ...(body && { 'Content-Type': 'application/json' }) },
    ...(body && { body: JSON.stringify(body) }),
  })
  const json = await answer.json().catch(() => ({}))
  if (answer.ok) return json
  throw new Refused(answer.status, json.message ?? t('serverAnswers', { status: answer.status }))
}

/** Shows the sign-in form until the user has signed in. */
export function signIn() {
  const section = document.querySelector('#sign-in')
  const form = section.querySelector('form')
  const problem = form.querySelector('.problem')
  section.hidden = false
  form.elements.username.focus()
  return new Promise((resolve) => {
    form.addEventListener('submit', async function submit(event) {
      event.preventDefault()
      const { username, password, totp } = Object.fromEntries(new FormData(form))
      try {
        await ask('POST', '/auth/login', { username, password, ...(totp && { totp }) })
      } catch (error) {
        problem.textContent = error.message
        return
      }
      form.removeEventListener('submit', submit)
      form.reset()
      section.hidden = true
      resolve()
    })
  })
}
