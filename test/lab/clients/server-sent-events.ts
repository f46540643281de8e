import { get } from 'node:http'

/** Reads Server-Sent Events until the text is enough. */
export async function readServerSentEvents(
  url: string,
  headers: Record<string, string>,
  enough: (text: string) => boolean,
): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>()
  const asked = get(`${url}/api/events?topics=vm:events`, { headers }, (answer) => {
    let text = ''
    answer.on('data', (part: Buffer) => {
      text += String(part)
      if (!enough(text)) return
      resolve(text)
      asked.destroy()
    })
  })
  asked.on('error', reject)
  return promise
}
