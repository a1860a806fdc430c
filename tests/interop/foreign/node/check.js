// etcd3 over TLS: everything that a program in Node asks of gRPC.
'use strict';

const assert = require('node:assert');
const fs = require('node:fs');
const { Etcd3, EtcdPermissionDeniedError } = require('etcd3');

const options = (auth) => ({
  hosts: `https://127.0.0.1:${process.env.PORT}`,
  credentials: {
    rootCertificate: fs.readFileSync(process.env.CA),
    privateKey: fs.readFileSync(process.env.KEY),
    certChain: fs.readFileSync(process.env.CERT),
  },
  ...(auth ? { auth } : {}),
});

async function pairs(client) {
  await client.put('fruit/apple').value('red');
  await client.put('fruit/pear').value('green');
  assert.equal(await client.get('fruit/apple').string(), 'red');
  assert.equal(await client.get('nothing').string(), null);
  const all = await client.getAll().prefix('fruit/').strings();
  assert.deepEqual(all, { 'fruit/apple': 'red', 'fruit/pear': 'green' });
  const keys = await client.getAll().prefix('fruit/').sort('Key', 'Descend').limit(1).keys();
  assert.deepEqual(keys, ['fruit/pear']);
  assert.equal(await client.getAll().prefix('fruit/').count(), 2);
  const removed = await client.delete().prefix('fruit/').getPrevious();
  assert.equal(removed.length, 2);
  const binary = Buffer.from(Array.from({ length: 256 }, (_, n) => n));
  await client.put(Buffer.from([0, 255])).value(binary);
  assert.ok(binary.equals(await client.get(Buffer.from([0, 255])).buffer()));
}

async function transactions(client) {
  const run = () => client
    .if('txn', 'Version', '==', 0)
    .then(client.put('txn').value('new'))
    .else(client.get('txn'))
    .commit();
  assert.equal((await run()).succeeded, true);
  const second = await run();
  assert.equal(second.succeeded, false);
  assert.equal(second.responses[0].response_range.kvs[0].value.toString(), 'new');
}

async function leases(client) {
  const lease = client.lease(60);
  await lease.put('leased').value('x');
  await lease.keepaliveOnce();
  assert.equal(await client.get('leased').string(), 'x');
  await lease.revoke();
  assert.equal(await client.get('leased').string(), null);
}

async function locks(client) {
  const held = await client.lock('door').ttl(60).acquire();
  await assert.rejects(client.lock('door').ttl(60).acquire());
  await held.release();
  const again = await client.lock('door').ttl(60).acquire();
  await again.release();
}

async function watches(client) {
  const watcher = await client.watch().key('seen').create();
  const seen = (kind) => new Promise((resolve) => watcher.once(kind, resolve));
  const put = seen('put');
  await client.put('seen').value('1');
  assert.equal((await put).value.toString(), '1');
  const gone = seen('delete');
  await client.delete().key('seen');
  assert.equal((await gone).key.toString(), 'seen');
  await watcher.cancel();
  const { header } = await client.put('past/1').value('a');
  const late = await client.watch().prefix('past/').startRevision(header.revision).create();
  const past = await new Promise((resolve) => late.once('put', resolve));
  assert.equal(past.value.toString(), 'a');
  await late.cancel();
}

async function users(client) {
  const root = client.role('root');
  await root.create();
  const reader = client.role('reader');
  await reader.create();
  await reader.grant({ permission: 'Read', range: client.range({ prefix: 'f' }) });
  for (const [name, role] of [['root', root], ['eve', reader]]) {
    await client.user(name).create('pass');
    await client.user(name).addRole(role);
  }
  await client.auth.authEnable();
  const eve = new Etcd3(options({ username: 'eve', password: 'pass' }));
  const admin = new Etcd3(options({ username: 'root', password: 'pass' }));
  assert.equal(await eve.get('free').string(), null);
  await assert.rejects(async () => eve.put('free').value('1'), EtcdPermissionDeniedError);
  await assert.rejects(async () => eve.get('secret').string(), EtcdPermissionDeniedError);
  const liar = new Etcd3(options({ username: 'eve', password: 'wrong' }));
  await assert.rejects(async () => liar.get('free').string());
  await admin.put('secret').value('1');
  assert.equal(await admin.get('secret').string(), '1');
  await admin.auth.authDisable();
  [eve, admin, liar].forEach((other) => other.close());
}

async function main() {
  const client = new Etcd3(options());
  for (const part of [pairs, transactions, leases, locks, watches, users]) {
    await part(client);
    console.log(part.name, 'ok');
  }
  client.close();
}

main().then(() => process.exit(0), (error) => {
  console.error(error);
  process.exit(1);
});
