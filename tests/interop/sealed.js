/*
 * Reads a session that SealedStore has sealed (docs/sealed.md): `unseal(key of the row, its text, { id: 32 bytes })`.
 * Express opens the data of a Tornado server by it: a Store calls it in `get`. It throws for a row that no key opens.
 */
'use strict';

const { createDecipheriv, hkdfSync } = require('node:crypto');

function opened(row, sealed, keys) {
  const [version, id, body] = sealed.split('.');
  if (version !== '1' || !Object.hasOwn(keys, id)) throw new Error('sealed with a key that is not given');
  const box = Buffer.from(body, 'base64url');
  const key = Buffer.from(hkdfSync('sha256', keys[id], '', `sessions/1/data/${id}/${row}`, 32));
  const cipher = createDecipheriv('aes-256-gcm', key, box.subarray(0, 12), { authTagLength: 16 });
  cipher.setAuthTag(box.subarray(-16));
  return Buffer.concat([cipher.update(box.subarray(12, -16)), cipher.final()]).toString('utf8');
}

function unseal(row, text, keys) {
  const { cookie, __sealed: sealed, __meta: meta, ...later } = JSON.parse(text);
  if (sealed === undefined) return { cookie, ...(meta && { __meta: meta }), ...later };
  const data = JSON.parse(opened(row, sealed, keys));
  return { ...(cookie && { cookie }), ...data, ...later };
}

module.exports = { unseal };

if (require.main === module) {
  const { row, text, keys } = JSON.parse(require('node:fs').readFileSync(0, 'utf8'));
  const bytes = Object.fromEntries(Object.entries(keys).map(([id, key]) => [id, Buffer.from(key, 'hex')]));
  process.stdout.write(JSON.stringify(unseal(row, text, bytes)));
}
