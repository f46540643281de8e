#!/usr/bin/env node
import { ensurePackages, goOnAs } from './bootstrap.js'

ensurePackages({ development: true })
goOnAs('test.ts', process.argv.slice(2))
