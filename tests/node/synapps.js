// Writes a session as @synapps/session does. `node synapps.js FOLDER MAX_AGE ID [JSON]`.
'use strict';

const session = require('@synapps/session');

const [folder, maxAge, id, json] = process.argv.slice(2);
const failed = (error) => {
  if (error) throw error;
};

const request = {};
session({ folder, maxAge: Number(maxAge), genid: () => id })(request, () => {
  if (json === undefined) {
    request.sessionStore.set(id, undefined, failed);
  } else {
    Object.assign(request.session, JSON.parse(json)).save(failed);
  }
});
