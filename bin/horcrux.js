#!/usr/bin/env node
import { ensurePackages, goOnAs } from './bootstrap.js'

ensurePackages({ development: false })
goOnAs('horcrux.ts', process.argv.slice(2))
