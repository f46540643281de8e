import { send } from './client.ts'

/**
 * Has the browser download a file, which it writes to the disk by itself. A download of a link shows no refusal, so the
 * server is asked without the content first, and where it refuses, for its words.
 * @throws Refusal
 */
export async function download(url: string): Promise<void> {
  await send('HEAD', url, undefined).catch(async () => {
    const { body } = await send('GET', url, undefined)
    await body?.cancel()
  })
  const link = document.createElement('a')
  link.href = url
  link.download = ''
  link.click()
}
