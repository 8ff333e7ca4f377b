// Twelve ways in which GraphQL servers are attacked, the list that graphql-cop made known, each with what this server
// has to answer.
import { Skip, ask, authorization, endpoint, expect, finish, post, test } from './suite.mjs';

/** The request was refused as the caller's mistake, before any resolver ran. */
function refused({ status, body, text }, ...statuses) {
  const data = Array.isArray(body) ? body.some((one) => one?.data) : body?.data;
  expect(!data, `it was answered: ${text.slice(0, 200)}`);
  const expected = statuses.length ? statuses.includes(status) : status >= 400 && status < 500;
  expect(expected, `status ${status}, expected ${statuses.join(' or ') || 'one of 400'}: ${text.slice(0, 200)}`);
}

const repeat = (count, text) => Array.from({ length: count }, (_, n) => text(n)).join(' ');
const readable = { accept: 'application/graphql-response+json' }; // whose status says what happened
const anonymousReads = async () => {
  const { body } = await post({ query: '{ __typename }' }, { authorization: '' });
  return Boolean(body?.data);
};

await test('alias overloading: 101 aliases of one field', async () => {
  refused(await post({ query: `{ ${repeat(101, (n) => `a${n}: __typename`)} }` }, readable));
});

await test('array batching: ten queries in one request', async () => {
  refused(await post(Array(10).fill({ query: '{ __typename }' }), readable));
});

await test('directive overloading: one field with ten directives nobody knows', async () => {
  const reply = await post({ query: `{ __typename ${repeat(10, () => '@aa')} }` }, readable);
  refused(reply);
  expect(reply.body.errors.length < 10, 'every single directive is answered');
});

await test('field duplication: one field 500 times', async () => {
  refused(await post({ query: `{ ${repeat(500, () => '__typename')} }` }, readable));
});

await test('circular introspection: types of fields of types', async () => {
  const circle = (depth) => (depth ? `fields { type { ${circle(depth - 1)} } }` : 'name');
  refused(await post({ query: `{ __schema { types { ${circle(8)} } } }` }, readable));
});

await test('introspection by anonymous callers', async () => {
  if (await anonymousReads()) throw new Skip('the server is open to anonymous callers');
  const ways = ['{ __schema { types { name } } }', '{ __type(name: "Order") { name } }', '{ _service { sdl } }'];
  for (const query of ways) {
    const { body, text } = await post({ query }, { authorization: '' });
    const shown = Object.values(body?.data ?? {}).some((value) => value !== null);
    expect(!shown, `${query}: ${text.slice(0, 200)}`);
  }
});

await test('field suggestions', async () => {
  const { text } = await post({ query: '{ orderz(first: 1) { __typename } ordersx { id } }' });
  expect(!/did you mean/i.test(text), text);
});

await test('query over GET from a foreign page', async () => {
  const headers = { origin: 'https://elsewhere.example', 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' };
  refused(await ask(`${endpoint}?query=${encodeURIComponent('{ __typename }')}`, { headers }));
});

await test('mutation over GET', async () => {
  const headers = { ...authorization, ...readable, 'graphql-require-preflight': '1' };
  const reply = await ask(`${endpoint}?query=${encodeURIComponent('mutation { __typename }')}`, { headers });
  refused(reply, 405);
  expect(/POST/.test(reply.headers.get('allow') ?? ''), 'no `Allow: POST` in the answer');
});

await test('POST as a form', async () => {
  const form = new URLSearchParams({ query: '{ __typename }' });
  refused(await ask(endpoint, { method: 'POST', body: form, headers: authorization }), 415);
  const plain = { ...authorization, 'content-type': 'text/plain' };
  refused(await ask(endpoint, { method: 'POST', body: '{"query":"{ __typename }"}', headers: plain }), 415);
});

await test('trace mode', async () => {
  const asking = { 'x-apollo-tracing': '1', 'apollo-federation-include-trace': 'ftv1' };
  const { body } = await post({ query: '{ __typename }' }, asking);
  expect(!body?.extensions?.tracing && !body?.extensions?.ftv1, JSON.stringify(body));
});

await test('error detail: replies to nonsense name no internals', async () => {
  const nonsense = [
    'qwerty cop { abc }', '{', '{ order(id: "\u0000") { id } }', '{ orders(first: 99999999999) { nodes { id } } }',
    "{ orders(search: \"'; DROP TABLE orders; --\", first: 1) { nodes { id } } }", '{ node(id: "..%2f..%2f") { id } }',
    '{ orders(first: 1, after: "eyJpZCI6MX0=") { nodes { id } } }',
  ];
  const bodies = [...nonsense.map((query) => ({ query })), { query: 7 }, { variables: [] }, '{"query":', 'null', '[]'];
  for (const body of bodies) {
    const { status, text } = await post(body);
    expect(status < 500, `${status} for ${JSON.stringify(body)}: ${text.slice(0, 200)}`);
    const leak = text.match(/sqlx|sqlite|postgres|panicked|\.rs\b|\/(home|root|usr)\/|SELECT |stack|serde|axum/i)?.[0];
    expect(!leak, `"${leak}" in the reply to ${JSON.stringify(body)}: ${text.slice(0, 300)}`);
  }
});

finish();
