import { afterAll, beforeAll, expect, test } from 'vitest'
import { answers } from '../likeness/ask.ts'
import { AREAS } from '../likeness/questions.ts'
import { recorded } from '../likeness/recorded.ts'
import { startTestStore, type TestStore } from './lab.ts'

let lab: TestStore
beforeAll(async () => {
  lab = await startTestStore()
})
afterAll(() => lab.stop())

const all = await recorded()

test.for(AREAS)('%s: answers as MongoDB has', async (area) => {
  const ofArea = all.filter((one) => one.area === area)
  expect(ofArea.flatMap(({ answers: known }) => known).length).toBeGreaterThan(10)
  for (const { question, answers: known } of ofArea) {
    const found = await answers(lab.db, question)
    const wrong = question.commands.flatMap((command, place) =>
      found[place] === known[place] ? [] : [{ command, found: found[place], recorded: known[place] }],
    )
    expect(wrong, JSON.stringify(question.documents)).toEqual([])
  }
})
