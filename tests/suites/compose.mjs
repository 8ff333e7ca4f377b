// Federation: the subgraph the server describes in `_service { sdl }` composes, in both composers there are, with a
// second subgraph that adds a field to Order; and the server finds an order by that key.
import { composeServices as compose } from '@apollo/composition';
import { composeServices } from '@theguild/federation-composition';
import { parse } from 'graphql';
import { Skip, expect, finish, post, skip, test } from './suite.mjs';

const { body, text } = await post({ query: '{ _service { sdl } }' });
const sdl = body?.data?._service?.sdl;
if (!sdl) skip(`the server gave no SDL: ${text.slice(0, 200)}`);

const loyalty = `
  extend schema @link(url: "https://specs.apollo.dev/federation/v2.5", import: ["@key"])
  type Order @key(fields: "id") { id: ID! loyaltyPoints: Int! }
  type Query { loyaltyProgram: String }
`;
const services = [['orders', sdl], ['loyalty', loyalty]].map(([name, source]) => ({
  name, url: `http://${name}.example/graphql`, typeDefs: parse(source),
}));
const reasons = (errors) => errors.map(({ message }) => message).join('\n');

await test('@theguild/federation-composition composes', () => {
  const result = composeServices(services);
  expect(!result.errors?.length, reasons(result.errors ?? []));
  expect(/loyaltyPoints/.test(result.supergraphSdl), 'the field of the other subgraph is missing');
});
await test('@apollo/composition composes', () => {
  const result = compose(services);
  expect(!result.errors?.length, reasons(result.errors ?? []));
  expect(/loyaltyPoints/.test(result.supergraphSdl), 'the field of the other subgraph is missing');
});
await test('_entities finds an order by its key', async () => {
  const page = await post({ query: '{ orders(first: 1) { nodes { id number } } }' });
  const order = page.body?.data?.orders?.nodes?.[0];
  if (!order) throw new Skip(`no order to ask for: ${page.text.slice(0, 200)}`);
  const query = 'query ($of: [_Any!]!) { _entities(representations: $of) { ... on Order { id number } } }';
  const variables = { of: [{ __typename: 'Order', id: order.id }] };
  const found = await post({ query, variables });
  expect(JSON.stringify(found.body?.data?._entities) === JSON.stringify([order]), found.text.slice(0, 300));
});
finish();
