import { useEffect, useState } from 'preact/hooks'

/** Time without a key after which a search is sent. */
const typingMs = 150

/** A text that follows the one of a field after a pause, so that not every key is a request. */
export function useSettled(value: string): string {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), typingMs)
    return () => clearTimeout(timer)
  }, [value])
  return settled
}
