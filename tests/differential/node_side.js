'use strict'
// Answers each line of JSON on stdin with one on stdout: what npm's `cookie`, or JSON.parse and express-session, make of it.

const { createRequire } = require('node:module')
const path = require('node:path')
const readline = require('node:readline')

const installed = createRequire(path.join(__dirname, '..', 'interop', 'package.json'))
const inside = createRequire(installed.resolve('express-session'))
const cookie = inside('cookie')
const Store = inside('./session/store')

const asks = {
  // The value that a Cookie header gives to a name.
  cookie: ({ header, name }) => cookie.parse(header)[name],

  // A stored text as a handler's session has it: its data, its cookie, and whether it has a date.
  row: ({ text }) => {
    const session = new Store().createSession({ sessionID: 'apple' }, JSON.parse(text))
    const { cookie, ...data } = session
    return { cookie, data, hasDate: cookie.expires instanceof Date, hasExpiry: cookie.expires != null }
  },

  // A value as it is stored.
  stringify: ({ text }) => JSON.stringify(JSON.parse(text))
}

readline.createInterface({ input: process.stdin }).on('line', (line) => {
  const { ask, ...given } = JSON.parse(line)
  let answer
  try {
    const value = asks[ask](given)
    answer = { value: value === undefined ? null : value }
  } catch (error) {
    answer = { error: error.name }
  }
  process.stdout.write(JSON.stringify(answer) + '\n')
})
