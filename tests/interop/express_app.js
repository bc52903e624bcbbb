/*
 * The Node half of tests/interop: a real Express application, with the real Passport, on the real express-session and
 * one of its stores, that does to its session what the body of a request says. It owns no rule of its own;
 * tornado_app.py speaks the same language, so that a test can name "the one" and "the other" server and mean either.
 *
 *   POST <any path>           body: [[op, ...arguments], ...]   answer: {"sid", "results": [one per op]}
 *   POST /control/errors      what express-session passed to the error handler, emptied by asking
 *   POST /control/arrived/G   answers when a request waits in the op ["hold", G]
 *   POST /control/open/G      lets it go on
 *
 * Environment: DB (the SQLite file) or STORE (another store's URL), OPTIONS (express-session's options as JSON; "touchAfter" and the like, which only
 * Tornado knows, must not be in it), WAL=0 for a connect-sqlite3 without `concurrentDb`, SERIALIZE=0 for one that runs
 * its statements side by side, MONGO further options of connect-mongo as JSON, STORE_LINES lines of a page that change the store.
 */
'use strict';

const path = require('node:path');
const express = require('express');
const passport = require('passport');
const session = require('express-session');

const options = JSON.parse(process.env.OPTIONS);
const errors = [];
const gates = new Map();

/** The gate of that name: `arrived` settles when a request waits at it, `open` when it may go on. */
function gate(name) {
  if (!gates.has(name)) {
    const one = {};
    one.arrived = new Promise((resolve) => { one.arrive = resolve; });
    one.open = new Promise((resolve) => { one.release = resolve; });
    gates.set(name, one);
  }
  return gates.get(name);
}

/** A session method with a callback, as a promise; req.session is read again because regenerate() replaces it. */
function call(req, method) {
  return new Promise((resolve, reject) => {
    req.session[method]((error) => (error ? reject(error) : resolve()));
  });
}

const ops = {
  data: (req) => Object.fromEntries(Object.entries(req.session).filter(([key]) => key !== 'cookie')),
  get: (req, key) => (key in req.session ? req.session[key] : null),
  set: (req, key, value) => { req.session[key] = value; },
  set_date: (req, key, iso) => { req.session[key] = new Date(iso); },
  delete: (req, key) => { delete req.session[key]; },
  push: (req, key, value) => { req.session[key].push(value); },
  incr: (req, key) => (req.session[key] = (req.session[key] || 0) + 1),
  original_max_age: (req) => req.session.cookie.originalMaxAge,
  set_max_age: (req, ms) => { req.session.cookie.maxAge = ms; },
  touch: (req) => { req.session.touch(); },
  save: (req) => call(req, 'save'),
  reload: (req) => call(req, 'reload'),
  regenerate: (req) => call(req, 'regenerate'),
  destroy: (req) => call(req, 'destroy'),
  unset: (req) => { req.session = null; },
  login: (req, user) => new Promise((resolve, reject) => {
    req.login({ id: user }, (error) => (error ? reject(error) : resolve()));
  }),
  logout: (req) => new Promise((resolve, reject) => { req.logout((error) => (error ? reject(error) : resolve())); }),
  user: (req) => (req.user ? req.user.id : null),
  // What the text of a session holds, with its user where Passport has it.
  put: (req, text) => {
    const { cookie, user, ...data } = JSON.parse(text); // eslint-disable-line no-unused-vars
    Object.assign(req.session, data, { passport: { user } });
  },
  hold: async (req, name) => { gate(name).arrive(); await gate(name).open; },
};

const stores = {
  sqlite() {
    const SQLiteStore = require('connect-sqlite3')(session);
    const db = path.parse(process.env.DB);
    const store = new SQLiteStore({ db: db.base, dir: db.dir, concurrentDb: process.env.WAL !== '0' });
    // One statement at a time on the connection. Without it a save meets another request's read that is not finalized yet
    // and, when another process has written since that read, SQLite refuses it at once (SQLITE_BUSY_SNAPSHOT): no timeout
    // helps, two Node servers do it to each other as well, and the client has its 200 (test_without_serialize).
    if (process.env.SERIALIZE !== '0') store.db.serialize();
    return store;
  },
  redis(url) {
    const { RedisStore } = require('connect-redis');
    const client = require('redis').createClient({ url });
    client.on('error', (error) => errors.push(error.message));
    client.connect().catch((error) => errors.push(error.message));
    return new RedisStore({ client });
  },
  postgresql(url) {
    const PGStore = require('connect-pg-simple')(session);
    return new PGStore({ conString: url, createTableIfMissing: true, pruneSessionInterval: false });
  },
  mongodb(mongoUrl) {
    const { MongoStore } = require('connect-mongo');
    // 'native', which is the default, asks for a TTL index, which FerretDB does not have.
    const store = MongoStore.create({ mongoUrl, autoRemove: 'interval', ...JSON.parse(process.env.MONGO || '{}') });
    store.collectionP.catch((error) => errors.push(error.message));
    return store;
  },
};
const url = process.env.STORE || 'sqlite:';
const store = stores[url.split(':')[0]](url);
if (process.env.STORE_LINES) new Function('store', process.env.STORE_LINES)(store);

const app = express();
app.post('/control/errors', (req, res) => res.json(errors.splice(0)));
app.post('/control/arrived/:gate', async (req, res) => { await gate(req.params.gate).arrived; res.json({}); });
app.post('/control/open/:gate', (req, res) => { gate(req.params.gate).release(); res.json({}); });
passport.serializeUser((user, done) => done(null, user.id));
passport.deserializeUser((id, done) => done(null, { id }));
app.use(session({ ...options, store }));
app.use(passport.session());
app.use(express.json());
app.post('/{*any}', async (req, res) => {
  const results = [];
  for (const [op, ...args] of req.body) {
    const result = await ops[op](req, ...args);
    results.push(result === undefined ? null : result);
  }
  res.json({ sid: req.sessionID, results });
});
// Four parameters make it an error handler. A store that fails at the end of a request ends here as well, when the
// client has its 200 already: express-session tells nobody else.
app.use((error, req, res, next) => { // eslint-disable-line no-unused-vars
  errors.push(error.message);
  if (!res.headersSent) res.status(500).json({ error: error.message });
});

const server = app.listen(0, '127.0.0.1', () => console.log(`listening ${server.address().port}`));
