// The official GraphQL-over-HTTP audit of the graphql-http package: every MUST, SHOULD and MAY has to hold.
import { auditServer } from 'graphql-http';
import { authorization, endpoint, finish, test } from './suite.mjs';

const fetchFn = (url, options = {}) => fetch(url, { ...options, headers: { ...authorization, ...options.headers } });

for (const result of await auditServer({ url: endpoint, fetchFn })) {
  await test(`${result.id} ${result.name}`, () => {
    if (result.status !== 'ok') throw new Error(`${result.status}: ${result.reason}`);
  });
}
finish();
