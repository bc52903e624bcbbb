// Express, bare or with express-session: the same three handlers as tornado_app.py, each store as its own README sets it
// up. The stores that end in "-wal" are the same switched to a write-ahead log.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { parseArgs } = require('node:util')
const express = require('express')
const session = require('express-session')

const { values: args } = parseArgs({
  options: { port: { type: 'string' }, store: { type: 'string', default: 'none' },
    data: { type: 'string', default: '.' }, url: { type: 'string' } }
})
// read as a file: not every package exports its package.json
const version = name =>
  JSON.parse(fs.readFileSync(path.join(__dirname, 'node_modules', name, 'package.json'), 'utf8')).version
// the durability of a Redis or a PostgreSQL is asked of it by the harness
const about = { node: process.versions.node, express: version('express'), durability: 'nothing is stored' }
let known = Promise.resolve() // when `about` is complete
const week = 7 * 24 * 60 * 60 * 1000

const pragmas = (journal, synchronous) =>
  `journal_mode=${journal.toUpperCase()}, synchronous=${['OFF', 'NORMAL', 'FULL', 'EXTRA'][synchronous]}`

function connectSqlite3 (wal) {
  const sqlite3 = require('sqlite3')
  const SQLiteStore = require('connect-sqlite3')(session)
  const store = new SQLiteStore({ db: 'sessions.db', dir: args.data, concurrentDb: wal })
  about['connect-sqlite3'] = version('connect-sqlite3')
  about.sqlite = sqlite3.VERSION
  known = new Promise(resolve => store.client.on('connect', () =>
    store.db.get('PRAGMA journal_mode', (_, journal) => store.db.get('PRAGMA synchronous', (_, sync) => {
      about.durability = pragmas(journal.journal_mode, sync.synchronous)
      resolve()
    }))))
  return { store, cookie: { maxAge: week } }
}

function betterSqlite3 (wal) {
  const Database = require('better-sqlite3')
  const SqliteStore = require('better-sqlite3-session-store')(session)
  const client = new Database(path.join(args.data, 'sessions.db')) // the README's `verbose: console.log` left out
  if (wal) client.pragma('journal_mode = WAL')
  const read = name => client.pragma(name, { simple: true })
  about['better-sqlite3-session-store'] = version('better-sqlite3-session-store')
  about['better-sqlite3'] = version('better-sqlite3')
  about.sqlite = client.prepare('SELECT sqlite_version()').pluck().get()
  const store = new SqliteStore({ client, expired: { clear: true, intervalMs: 900000 } })
  store.length() // this build of SQLite turns to NORMAL at the first read of a WAL file: ask after it
  about.durability = pragmas(read('journal_mode'), read('synchronous'))
  return { store }
}

function connectRedis () {
  const { RedisStore } = require('connect-redis')
  const client = require('redis').createClient({ url: args.url })
  client.connect().catch(error => { throw error })
  about['connect-redis'] = version('connect-redis')
  about.redis = version('redis')
  return { store: new RedisStore({ client }) }
}

function connectPgSimple () {
  const { Pool } = require('pg')
  const PgStore = require('connect-pg-simple')(session)
  about['connect-pg-simple'] = version('connect-pg-simple')
  about.pg = version('pg')
  const pool = new Pool({ connectionString: args.url })
  return { store: new PgStore({ pool, createTableIfMissing: true }) }
}

function connectMongo () {
  const { MongoStore } = require('connect-mongo')
  about['connect-mongo'] = version('connect-mongo')
  about.mongodb = version('mongodb')
  // the README's default is an index that expires rows, which FerretDB does not have
  return { store: MongoStore.create({ mongoUrl: args.url, autoRemove: 'disabled' }) }
}

function memory () {
  about.durability = "none: the process's memory"
  return { store: new session.MemoryStore() }
}

const stores = {
  memory,
  'connect-sqlite3': () => connectSqlite3(false),
  'connect-sqlite3-wal': () => connectSqlite3(true),
  'better-sqlite3': () => betterSqlite3(false),
  'better-sqlite3-wal': () => betterSqlite3(true),
  'connect-redis': connectRedis,
  'connect-pg-simple': connectPgSimple,
  'connect-mongo': connectMongo
}

const app = express()
app.get('/about', (req, res) => known.then(() => res.json(about)))
if (args.store === 'none') {
  const everybodys = { n: 1 }
  app.use((req, res, next) => { req.session = everybodys; next() })
} else {
  about['express-session'] = version('express-session')
  const secret = 'a secret of the benchmark, longer than thirty-two bytes'
  app.use(session({ ...stores[args.store](), secret, resave: false, saveUninitialized: false }))
}
app.get('/read', (req, res) => res.send(String(req.session.n)))
app.get('/write', (req, res) => { req.session.n += 1; res.send(String(req.session.n)) })
app.get('/new', (req, res) => { req.session.n = 1; res.send('1') })
app.listen(Number(args.port), '127.0.0.1')
