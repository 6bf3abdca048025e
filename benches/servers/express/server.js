// express-session on session-file-store or connect-pg-simple.
// `node server.js THREADS file|postgres PLACE`, with one thread.
'use strict';

const express = require('express');
const session = require('express-session');
const FileStore = require('session-file-store')(session);
const PgStore = require('connect-pg-simple')(session);
const { Pool } = require('pg');

const [threads, name, place] = process.argv.slice(2);
if (threads !== '1') throw new Error('Node.js runs on one thread');

function open() {
  if (name === 'file') return new FileStore({ path: place, logFn: () => {} });
  if (name !== 'postgres') throw new Error(`no store is called ${name}`);
  // The pool has 10 connections, as those of all contestants.
  return new PgStore({ pool: new Pool({ connectionString: place }), createTableIfMissing: true });
}

const app = express();
app.use(
  session({
    secret: 'a secret that is the same in every run',
    // As its README recommends for a store with `touch`. The rest are the defaults.
    resave: false,
    saveUninitialized: false,
    store: open(),
  }),
);

app.get('/untouched', (request, response) => response.send('untouched'));

app.get('/read', (request, response) => response.send(String(request.session.views)));

app.get('/read_8', (request, response) => {
  let length = request.session.views;
  for (let n = 1; n < 8; n += 1) length += request.session[`field00${n}`].length;
  response.send(String(length));
});

for (const route of ['/write', '/add']) {
  app.get(route, (request, response) => {
    request.session.views += 1;
    response.send(String(request.session.views));
  });
}

app.post('/seed/:fields', (request, response) => {
  request.session.views = 0;
  for (let n = 1; n < Number(request.params.fields); n += 1) {
    request.session[`field${String(n).padStart(3, '0')}`] = 'x'.repeat(158);
  }
  response.end();
});

const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
