import RFB from '@novnc/novnc'
import { t } from './words.js'

/** Shows a VNC display; calls `ready` when the first picture is there. @returns what can be done with it */
export function showScreen(view, socket, { password, ready, failed }) {
  const rfb = new RFB(view, socket, { shared: true, ...(password && { credentials: { password } }) })
  rfb.scaleViewport = true
  rfb.background = '#000'
  rfb.addEventListener('connect', () => {
    ready()
    rfb.focus()
  })
  rfb.addEventListener('securityfailure', ({ detail }) => failed(detail.reason ?? t('refusesPassword')))
  rfb.addEventListener('credentialsrequired', () => failed(t('asksPassword')))
  return { rfb, focus: () => rfb.focus() }
}
