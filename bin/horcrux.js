#!/usr/bin/env node
// Plain JavaScript without packages, for `npm start` and a Node older than 24. bin/horcrux is the shorter way.
import { ensurePackages, goOnAs, goOnAsClient } from './bootstrap.js'
import { isServerCommand } from './server-commands.js'

const words = process.argv.slice(2)
ensurePackages({ development: false })
if (isServerCommand(words)) goOnAs('horcrux.ts', words)
else goOnAsClient(words)
