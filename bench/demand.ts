import type { Product } from '../test/lab/product/product.ts'

/** Duration of some work, in milliseconds. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const since = performance.now()
  await work()
  return performance.now() - since
}

const wait = { headers: { prefer: 'wait=60' } }

/** Asks for something and waits for its end. @throws when it does not succeed */
export async function demand({ ask }: Product, line: string, json?: unknown): Promise<void> {
  const { status, body } = await ask(line, { ...wait, ...(json !== undefined && { json }) })
  if (status > 201 || (body['kind'] && body['state'] !== 'succeeded'))
    throw new Error(`${line}: ${status} ${JSON.stringify(body['error'] ?? body)}`)
}
