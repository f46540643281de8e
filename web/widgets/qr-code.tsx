import { useEffect, useState } from 'preact/hooks'
import { t } from '../words/words.ts'

/** Margin that a reader needs around the code. Modules. */
const margin = 4

/** A QR code, drawn in the page: its text is sent to nobody. The library is loaded when one is shown. */
export function QrCode({ text, label }: { text: string; label: string }) {
  const [rows, setRows] = useState<boolean[][]>()
  useEffect(() => {
    let isShown = true
    void import('uqr').then(({ encode }) => isShown && setRows(encode(text, { border: margin }).data))
    return () => void (isShown = false)
  }, [text])
  if (!rows) return <p role="status">{t('loading')}</p>
  const path = rows.flatMap((row, y) => row.flatMap((isDark, x) => (isDark ? `M${x} ${y}h1v1h-1z` : []))).join('')
  return (
    <svg class="qr" viewBox={`0 0 ${rows.length} ${rows.length}`} role="img" aria-label={label}>
      <rect width="100%" height="100%" fill="#ffffff" />
      <path d={path} fill="#000000" shape-rendering="crispEdges" />
    </svg>
  )
}
