// Trouble: a key that is taken away, and a server that dies while it is asked for something.
import { expect, test } from '../../suites/suite.mjs';
import { same, until } from '../center.mjs';
import { Wire } from '../wire.mjs';

const settle = 'mutation ($id: ID!, $verdict: OperationVerdict) { settleOperation(id: $id, verdict: $verdict) { state } }';

/** `input` is how the source `shop` was registered. */
export async function revoked(center, shop, input) {
  await test('a key that is taken away shows at its source, and at no other', async () => {
    const { api_key: key } = await shop.post('/api-keys', { title: 'Taken away', type: 'secret' });
    const since = new Date().toISOString();
    const secrets = [{ name: 'api_key', value: key.token }];
    same(await center.register({ ...input, key: 'guest', secrets, since }), [], 'errors');
    await until('it was read', async () => (await center.source('guest')).sync.lagSeconds !== null);
    await shop.post(`/api-keys/${key.id}/revoke`);
    const said = await until('the trouble is told', async () => (await center.source('guest')).sync.lastError);
    expect(/credential|unauthor/i.test(said), said);
    const id = await shop.order();
    await until('the other source brings an order', () => center.order('shop', id));
    same((await center.source('shop')).sync.lastError, null, 'error of the other');
    await center.ask('mutation ($key: String!) { removeSource(key: $key) { userErrors { message } } }', { key: 'guest' });
  });
}

/** Loses the answer of one refund, a second refund before it arrives, and a shipment between its two requests. */
export async function killed(center, shop, input) {
  const wire = await Wire.start(shop.url);
  const ids = [await shop.order(), await shop.order(), await shop.order()];
  const payments = [];
  for (const id of ids) payments.push(await shop.capture(id));
  same(await center.register({ ...input, key: 'wired', url: wire.url, since: new Date(Date.now() - 600_000).toISOString() }), [], 'errors');
  for (const id of ids) await until('the order is there', () => center.order('wired', id));
  const refunds = async at => shop.payment(await shop.look(ids[at])).refunds.length;

  const hold = (path, when) => wire.hold(request => request.method === 'POST' && request.url.split('?')[0] === `/admin${path}`, when);
  const held = [
    hold(`/payments/${payments[0].id}/refund`, 'after'),
    hold(`/payments/${payments[1].id}/refund`, 'before'),
    hold(`/orders/${ids[2]}/fulfillments`, 'after'),
  ];
  const asked = [
    center.act('refundOrder', 'wired', ids[0], { amount: '10' }),
    center.act('refundOrder', 'wired', ids[1], { amount: '10' }),
    center.act('shipOrder', 'wired', ids[2]),
  ];
  await Promise.all(held);
  await shop.server.kill();
  wire.lose();
  await until('the trouble is told', async () => (await center.source('shop')).sync.lastError);
  await shop.up();
  const operations = (await Promise.all(asked)).map(answer => answer.operation.id);
  const state = async at => (await center.operation(operations[at])).state;

  await test('a refund whose answer died with the server is found again, once', async () => {
    await until('it is settled', async () => await state(0) === 'SUCCEEDED', 90);
    same(await refunds(0), 1, 'refunds');
  });
  await test('a refund that never arrived stays in doubt, and none other is paid meanwhile', async () => {
    await until('it is in doubt', async () => await state(1) === 'UNKNOWN', 90);
    same((await center.act('refundOrder', 'wired', ids[1], { amount: '10' })).userErrors[0]?.code, 'OUTCOME_PENDING', 'asked again');
    same(await refunds(1), 0, 'refunds');
    await center.ask(settle, { id: operations[1], verdict: 'DID_NOT_HAPPEN' });
    same(await state(1), 'REJECTED', 'settled by hand');
    await center.done('refundOrder', 'wired', ids[1], { amount: '10' });
    same(await refunds(1), 1, 'refunds');
  });
  await test('a shipment that died between packing and handing over is taken up where it stopped', async () => {
    await until('it is settled', async () => await state(2) === 'SUCCEEDED', 90);
    const { fulfillments } = await shop.look(ids[2]);
    same(fulfillments.map(parcel => parcel.shipped_at !== null), [true], 'parcels');
  });
  await center.ask('mutation ($key: String!) { removeSource(key: $key) { userErrors { message } } }', { key: 'wired' });
  wire.stop();
}
