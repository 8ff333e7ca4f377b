// Subscriptions over WebSocket: the graphql-ws client against the endpoint, then the close codes of the protocol
// (graphql-transport-ws) one by one, over a bare socket.
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';
import { Skip, adminKey, authorization, expect, finish, post, socket as url, test } from './suite.mjs';

const credentials = adminKey ? { Authorization: `Bearer ${adminKey}` } : undefined;
const slow = { query: 'subscription { orderChanged { __typename } }' };

/** A bare socket with what it received so far and how it was closed. */
async function open({ protocol = 'graphql-transport-ws', headers = {} } = {}) {
  const ws = new WebSocket(url, protocol ? [protocol] : [], { headers });
  const received = [];
  const waiting = new Set();
  const wake = () => waiting.forEach((check) => check());
  const state = { ws, received, closed: undefined, status: undefined };
  ws.on('message', (data) => { received.push(JSON.parse(data)); wake(); });
  ws.on('close', (code, reason) => { state.closed = { code, reason: String(reason) }; wake(); });
  ws.on('unexpected-response', (_, response) => { state.status = response.statusCode; wake(); });
  ws.on('error', () => wake());
  ws.on('open', () => { state.opened = true; wake(); });
  state.send = (message) => ws.send(typeof message === 'string' ? message : JSON.stringify(message));
  state.until = (what, condition, limit = 10_000) => new Promise((resolve, reject) => {
    const done = (settle, value) => { clearTimeout(timer); waiting.delete(check); settle(value); };
    const check = () => { const found = condition(state); if (found) done(resolve, found); };
    const heard = () => JSON.stringify({ received: received.slice(-3), closed: state.closed, status: state.status });
    const timer = setTimeout(() => done(reject, new Error(`no ${what} within ${limit} ms; got ${heard()}`)), limit);
    waiting.add(check);
    check();
  });
  state.message = (type, id) =>
    state.until(type, () => received.find((m) => m.type === type && (id === undefined || m.id === id)));
  await state.until('handshake', (s) => s.opened || s.status || s.closed);
  return state;
}

async function acknowledged() {
  const state = await open();
  state.send({ type: 'connection_init', payload: credentials });
  await state.message('connection_ack');
  return state;
}

async function closes(state, code, limit) {
  const { code: got, reason } = await state.until(`close ${code}`, (s) => s.closed, limit);
  expect(got === code, `closed with ${got} (${reason}), the protocol says ${code}`);
}

await test('graphql-ws client: a query over the socket', async () => {
  const client = createClient({ url, webSocketImpl: WebSocket, connectionParams: credentials, retryAttempts: 0 });
  const results = [];
  try {
    for await (const result of client.iterate({ query: '{ __typename }' })) results.push(result);
  } catch (closed) {
    throw new Error(`closed with ${closed.code} ${closed.reason}`);
  }
  await client.dispose();
  expect(results.length === 1 && results[0].data?.__typename === 'Query', JSON.stringify(results));
});

await test('graphql-ws client: a subscription stays open and ends when asked', async () => {
  const client = createClient({ url, webSocketImpl: WebSocket, connectionParams: credentials, retryAttempts: 0 });
  const results = client.iterate(slow);
  const first = await Promise.race([
    results.next(),
    new Promise((resolve) => { setTimeout(resolve, 1_000, 'still open'); }),
  ]);
  expect(first === 'still open' || first.value?.data?.orderChanged, JSON.stringify(first));
  await results.return();
  await client.dispose();
});

await test('a subscription resumes from a cursor and misses nothing', async () => {
  const { body, text } = await post({ query: '{ orderChanges(first: 3) { nodes { cursor orderId } } }' });
  const changes = body?.data?.orderChanges?.nodes;
  expect(changes, text.slice(0, 300));
  if (changes.length < 3) throw new Skip('fewer than three changes in the feed');
  const query = 'subscription ($after: String) { orderChanged(after: $after) { cursor orderId } }';
  const state = await acknowledged();
  state.send({ id: '1', type: 'subscribe', payload: { query, variables: { after: changes[0].cursor } } });
  const events = () => state.received.filter(({ type }) => type === 'next');
  await state.until('two changes', () => events().length >= 2);
  const got = events().slice(0, 2).map(({ payload }) => payload.data?.orderChanged);
  expect(JSON.stringify(got) === JSON.stringify(changes.slice(1)), JSON.stringify({ got, wanted: changes.slice(1) }));
  state.ws.close();
});

await test('two operations share one socket', async () => {
  const state = await acknowledged();
  for (const id of ['a', 'b']) state.send({ id, type: 'subscribe', payload: { query: '{ __typename }' } });
  for (const id of ['a', 'b']) {
    await state.message('next', id);
    await state.message('complete', id);
  }
  state.ws.close();
});

await test('an invalid operation is an error message, and the socket lives on', async () => {
  const state = await acknowledged();
  state.send({ id: '1', type: 'subscribe', payload: { query: '{ noSuchField }' } });
  const { payload } = await state.message('error', '1');
  expect(Array.isArray(payload) && payload[0].message, JSON.stringify(payload));
  state.send({ id: '1', type: 'subscribe', payload: { query: '{ __typename }' } }); // the id is free again
  await state.message('complete', '1');
  state.ws.close();
});

await test('complete ends a subscription and frees its id', async () => {
  const state = await acknowledged();
  state.send({ id: '1', type: 'subscribe', payload: slow });
  state.send({ id: '1', type: 'complete' });
  state.send({ id: '1', type: 'subscribe', payload: { query: '{ __typename }' } });
  const answered = ({ id, payload }) => id === '1' && payload?.data?.__typename === 'Query';
  await state.until('result', () => state.received.some(answered));
  expect(!state.closed, JSON.stringify(state.closed));
  state.ws.close();
});

await test('ping is answered with pong, before and after init', async () => {
  const state = await open();
  state.send({ type: 'ping' });
  await state.message('pong');
  state.send({ type: 'connection_init', payload: credentials });
  await state.message('connection_ack');
  state.send({ type: 'ping', payload: { n: 1 } });
  await state.until('a second pong', () => state.received.filter(({ type }) => type === 'pong').length === 2);
  state.ws.close();
});

await test('4400: what is not JSON', async () => {
  const state = await open();
  state.send('{"type":');
  await closes(state, 4400);
});

await test('4400: a message of an unknown type', async () => {
  const state = await acknowledged();
  state.send({ type: 'start', id: '1' });
  await closes(state, 4400);
});

await test('4400: subscribe without an id', async () => {
  const state = await acknowledged();
  state.send({ type: 'subscribe', payload: slow });
  await closes(state, 4400);
});

await test('4401: subscribe before init', async () => {
  const state = await open();
  state.send({ id: '1', type: 'subscribe', payload: slow });
  await closes(state, 4401);
});

/** Whether anyone may ask: then a key is not looked at. */
async function isOpen() {
  const { body } = await post({ query: '{ __typename }' }, { authorization: '' });
  return Boolean(body?.data);
}

await test('4403: init with a key that does not exist', async () => {
  if (await isOpen()) throw new Skip('the server is open to anonymous callers');
  const state = await open();
  state.send({ type: 'connection_init', payload: { Authorization: 'Bearer wrong' } });
  await closes(state, 4403);
});

await test('4403 or 4401: no key where keys are needed', async () => {
  if (await isOpen()) throw new Skip('the server is open to anonymous callers');
  const state = await open();
  state.send({ type: 'connection_init' });
  const { code } = await state.until('close', (s) => s.closed);
  expect(code === 4403 || code === 4401, `closed with ${code}`);
});

await test('4406 or a refused handshake: another subprotocol', async () => {
  const state = await open({ protocol: 'graphql-ws-of-old' });
  await state.until('refusal', (s) => s.status >= 400 || s.closed);
  expect(state.status >= 400 || state.closed.code === 4406 || !state.opened, JSON.stringify(state.closed));
});

await test('4408: no init in time', async () => {
  await closes(await open(), 4408, 40_000);
});

await test('4409: an id that is in use', async () => {
  const state = await acknowledged();
  state.send({ id: '1', type: 'subscribe', payload: slow });
  state.send({ id: '1', type: 'subscribe', payload: slow });
  await closes(state, 4409);
  expect(!state.received.some((m) => m.type === 'error'), JSON.stringify(state.received));
});

await test('4429: a second init', async () => {
  const state = await acknowledged();
  state.send({ type: 'connection_init', payload: credentials });
  await closes(state, 4429);
});

await test('a page of another origin cannot open a socket', async () => {
  const state = await open({ headers: { origin: 'https://elsewhere.example', ...authorization } });
  expect(state.status >= 400, 'the handshake succeeded');
});

await test('a message beyond the limit closes the socket', async () => {
  const state = await acknowledged();
  state.send({ id: '1', type: 'subscribe', payload: { query: `{ __typename } # ${'x'.repeat(2 << 20)}` } });
  await state.until('close', (s) => s.closed);
});

finish();
