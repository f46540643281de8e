import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { EJSON } from 'bson'
import { MongoClient } from 'mongodb'
import { startEmbeddedStore } from '../src/server.ts'
import { answers } from './ask.ts'
import type { Spec } from './filters.ts'
import { AREAS, type Area, drawn } from './questions.ts'
import { record, type Recorded } from './recorded.ts'

/*
 * Asks the embedded store and the server of MONGODB_URL the same questions, and prints where they differ.
 *
 *   MONGODB_URL=mongodb://… node packages/embedded-store/likeness/compare.ts [SEED] [COUNT] [AREA…] [--record]
 *
 * COUNT questions of each area, each of some commands. With --record what they agree in becomes what
 * test/recorded.test.ts asks of the embedded store ever after.
 */
const numbers = process.argv.slice(2).filter((argument) => /^\d+$/.test(argument))
const [seed = Date.now() % 100_000, count = 5] = numbers.map(Number)
const only = process.argv.slice(2).filter((argument) => /^[a-z]/i.test(argument))
const url = process.env['MONGODB_URL']
if (!url) throw new Error('MONGODB_URL names the server to compare with')

const dataDir = await mkdtemp(join(tmpdir(), 'horcrux-likeness-'))
const store = await startEmbeddedStore({ dataDir, user: 'horcrux', password: 'likeness' })
const clients = await Promise.all([store.url('likeness'), url].map((server) => MongoClient.connect(server)))
const [own, other] = clients.map((client) => client.db(`horcrux_test_likeness_${seed}`))
const server = await other!.admin().serverInfo()

/** Examples of each pair of codes that are shown. */
const SHOWN = 2
const NOT_IMPLEMENTED = /"code":(238|\{"\$numberInt":"238"\})/
const codeOf = (answer: string): string => /"code":(?:\{"\$numberInt":")?(\d+)/.exec(answer)?.[1] ?? 'done'

async function compare(area: Area): Promise<Recorded[]> {
  const agreed: Recorded[] = []
  const differing = new Map<string, number>()
  let [asked, refused] = [0, 0]
  for (const question of drawn(area, seed!, count!)) {
    const [ours, theirs] = [await answers(own!, question), await answers(other!, question)]
    const same: { command: Spec; answer: string }[] = []
    for (const [place, command] of question.commands.entries()) {
      const [mine, real] = [ours[place]!, theirs[place]!]
      asked++
      if (mine === real) same.push({ command, answer: real })
      else if (NOT_IMPLEMENTED.test(mine)) refused++
      else {
        const pair = `${codeOf(mine)} in place of ${codeOf(real)}`
        differing.set(pair, (differing.get(pair) ?? 0) + 1)
        if (differing.get(pair)! > SHOWN) continue
        console.log(`  ${area}: ${pair}: ${EJSON.stringify(command)} of ${EJSON.stringify(question.documents)}`)
      }
    }
    const commands = same.map(({ command }) => command)
    agreed.push({ area, question: { ...question, commands }, answers: same.map(({ answer }) => answer) })
  }
  const others = [...differing.values()].reduce((sum, one) => sum + one, 0)
  console.log(`${area}: ${asked} asked, ${others} differ, ${refused} refused as not supported`)
  return agreed
}

console.log(`likeness: SEED=${seed}, MongoDB ${server['version']}`)
const all: Recorded[] = []
for (const area of AREAS.filter((one) => only.length === 0 || only.includes(one))) all.push(...(await compare(area)))
if (process.argv.includes('--record')) await record(all)
await other!.dropDatabase()
for (const client of clients) await client.close()
await store.stop()
await rm(dataDir, { recursive: true, force: true })
