import RFB from '@novnc/novnc'

/** Shows a VNC display; calls `ready` when the first picture is there. @returns what can be done with it */
export function showScreen(view, socket, { password, ready, failed }) {
  const rfb = new RFB(view, socket, { shared: true, ...(password && { credentials: { password } }) })
  rfb.scaleViewport = true
  rfb.background = '#000'
  rfb.addEventListener('connect', () => {
    ready()
    rfb.focus()
  })
  rfb.addEventListener('securityfailure', ({ detail }) => failed(detail.reason ?? 'The display refuses the password'))
  rfb.addEventListener('credentialsrequired', () => failed('The display asks for a password that is not known here'))
  return { controlAltDelete: () => rfb.sendCtrlAltDel(), focus: () => rfb.focus() }
}
