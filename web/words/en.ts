import { fields } from './en/fields.ts'
import { general } from './en/general.ts'
import { moves } from './en/moves.ts'
import { safety } from './en/safety.ts'
import { storage } from './en/storage.ts'
import { told } from './en/told.ts'

/** The words of the page. Another language has the same ones: the compiler checks it. */
export const en = { ...general, ...fields, ...moves, ...safety, ...storage, ...told }
export type Word = keyof typeof en
