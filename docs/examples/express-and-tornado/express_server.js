/*
 * The Express half of the example: the pages under /node/. Its session settings are those of session.json, which
 * tornado_server.py reads as well; the secret and the file come to both from the environment.
 */
'use strict';

const fs = require('node:fs');
const path = require('node:path');
const express = require('express');
const session = require('express-session');
const SQLiteStore = require('connect-sqlite3')(session);

const secret = process.env.SESSION_SECRET;
if (!secret) throw new Error('SESSION_SECRET is not set: both servers need the same one');
const db = path.parse(path.resolve(process.env.SESSION_DB || path.join(__dirname, 'sessions.db')));

const store = new SQLiteStore({ db: db.base, dir: db.dir, concurrentDb: true }); // WAL, as the Tornado side has it
store.db.serialize(); // or saves are lost under load, answered with 200: README, "What holds in both directions"

const settings = JSON.parse(fs.readFileSync(path.join(__dirname, 'session.json'), 'utf8'));
const app = express();
app.use(session({ ...settings, secret, store }));
app.use(express.urlencoded({ extended: false }));

// A form on another site must not act for our visitor. SameSite=Lax keeps the cookie off its POST; this refuses the
// POST itself, which a login form needs as well: there is no cookie to keep off yet.
app.use((req, res, next) => {
  const from = req.get('origin');
  const own = !from || (URL.canParse(from) && new URL(from).host === req.get('host'));
  if (req.method === 'POST' && !own) return res.status(403).send('from another site');
  next();
});

/** A method of the session that takes a callback, as a promise. */
const call = (req, method) => new Promise((resolve, reject) => {
  req.session[method]((error) => (error ? reject(error) : resolve()));
});

/**
 * Change a stored session so that little of another server's work can be overwritten. express-session writes the whole
 * session as it was when the request began; read it again right before the change, and write right after.
 * Returns false when the visitor was signed out meanwhile: then nothing is written and nothing comes back to life.
 */
async function change(req, how) {
  try {
    await call(req, 'reload');
  } catch {
    return false;
  }
  how(req.session);
  req.session.touch(); // save() writes the expiry as it was read, which may have passed: README, "Good to know"
  await call(req, 'save');
  return true;
}

app.get('/node/', (req, res) => {
  const { user, basket } = req.session;
  res.send(page(user, basket || 0));
});

app.post('/node/sign-in', async (req, res) => {
  const { basket } = req.session;
  await call(req, 'regenerate'); // a new id for a new degree of trust; it empties the session
  if (basket) req.session.basket = basket;
  req.session.user = String(req.body.user || 'somebody').slice(0, 40);
  await call(req, 'save'); // Express sends the redirect before it has saved, unless it has to wait
  res.redirect(303, '/node/');
});

app.post('/node/basket', async (req, res) => {
  if (req.session.user) await change(req, (session) => { session.basket = (session.basket || 0) + 1; });
  res.redirect(303, '/node/');
});

app.post('/node/sign-out', async (req, res) => {
  await call(req, 'destroy');
  res.redirect(303, '/node/');
});

function page(user, basket) {
  const text = (value) => String(value).replace(/[&<>"']/g, (each) => `&#${each.charCodeAt(0)};`);
  const who = user ? `Signed in as <b id="user">${text(user)}</b>` : 'Nobody is signed in';
  const forms = user
    ? '<form method="post" action="/node/basket"><button>Put one into the basket</button></form>'
      + '<form method="post" action="/node/sign-out"><button>Sign out</button></form>'
    : '<form method="post" action="/node/sign-in"><input name="user" value="ada" aria-label="name">'
      + '<button>Sign in</button></form>';
  return `<!doctype html><html lang="en"><meta charset="utf-8"><title>Express</title>
<h1>Express</h1><p>${who}. In the basket: <b id="basket">${text(basket)}</b>.</p>${forms}
<p><a href="/">The same session at Tornado</a></p></html>`;
}

const server = app.listen(Number(process.env.PORT ?? 3001), '127.0.0.1', () => {
  console.log(`Express listening on port ${server.address().port}`);
});
process.on('SIGTERM', () => server.close(() => process.exit(0)));
