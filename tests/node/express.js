// A site on Express: `node express.js file FOLDER`, or `node express.js redis|postgres URL`.
// It prints its port.
'use strict';

const express = require('express');
const session = require('express-session');

const [kind, place] = process.argv.slice(2);

async function store() {
  if (kind === 'file') {
    const FileStore = require('session-file-store')(session);
    return new FileStore({ path: place, logFn: () => {} });
  }
  if (kind === 'postgres') {
    const PostgresStore = require('connect-pg-simple')(session);
    return new PostgresStore({ conString: place, createTableIfMissing: true });
  }
  const client = require('redis').createClient({ url: place });
  await client.connect();
  const { RedisStore } = require('connect-redis');
  return new RedisStore({ client });
}

async function main() {
  const app = express();
  app.use(
    session({
      secret: ['new secret', 'old secret'],
      resave: false,
      saveUninitialized: false,
      store: await store(),
    }),
  );

  app.get('/login/:user', (request, response) => {
    request.session.regenerate((error) => {
      if (error) throw error;
      const { user } = request.params;
      Object.assign(request.session, {
        userId: Number(user),
        userName: 'Änn "the" 1st',
        views: 3,
        score: 0.1,
        cart: [{ article: 'tea', count: 2 }],
        passport: { user },
        since: new Date(0),
        nothing: null,
        wrong: 'seven',
      });
      response.send('logged in');
    });
  });
  app.get('/me', (request, response) => response.send(String(request.session.userId)));

  const server = app.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

main();
