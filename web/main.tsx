import { render } from 'preact'
import { App } from './shell/app.tsx'
import { readSession } from './api/session.ts'
import { loadLanguage } from './words/words.ts'
import './styles/base.css'
import './styles/shell.css'
import './styles/widgets.css'

/** The chunks of languages import this one: an `await` at its top would wait for itself. */
async function start(): Promise<void> {
  await Promise.all([loadLanguage(), readSession()])
  render(<App />, document.querySelector('#app')!)
}
void start()
