// Vendure, driven through the center and checked on its own API.
import { randomUUID } from 'node:crypto';
import { expect, finish, test } from '../suites/suite.mjs';
import { Center, same, until } from './center.mjs';
import { WEBHOOK_SECRET, follow, offered, register, settled, when } from './source.mjs';
import { Shop } from './vendure/shop.mjs';

const cents = amount => Math.round(Number(amount ?? 0) * 100);
const address = new URL(process.env.LIVE_DATABASE_URL);
const shop = await Shop.start(process.env.LIVE_MODULES, {
  DATABASE_HOST: address.hostname, DATABASE_PORT: address.port || '5432', DATABASE_USER: address.username, DATABASE_NAME: process.env.LIVE_DATABASE,
});
const center = await Center.start();
try {
  await drive();
} finally {
  await center.stop();
  await shop.server.kill();
}
finish();

async function drive() {
  const adapter = await center.upload('vendure');
  const key = await shop.key();
  const secrets = [{ name: 'api_key', value: key }, { name: 'webhook_secret', value: WEBHOOK_SECRET }];
  const input = { key: 'shop', adapter, url: shop.url, secrets };
  const seeded = await shop.seed();
  const there = async id => (await center.order('shop', id)) ?? undefined;
  await register(center, input, 'vendure', manifest => manifest.replace('{updatedAt: {after: $cursor.since}}', '{}'), 'wrong');

  await test('every order is there, as Vendure has it', async () => {
    const all = await shop.all();
    const held = await until('all orders are there', async () => {
      const { source } = await center.ask('{ source(key: "shop") { sync { lastSuccessAt } } }');
      const orders = await center.orders('shop');
      return source.sync.lastSuccessAt && orders.size >= all.length && orders;
    });
    for (const order of all) {
      const seen = held.get(order.id);
      same(seen?.native.state, order.state, `state of ${order.id}`);
      same(seen.number, order.code, 'number');
      same(cents(seen.totals.total.amount), order.totalWithTax, `total of ${order.id} (${order.state})`);
      const paid = order.payments.filter(payment => payment.state === 'Settled').reduce((sum, payment) => sum + payment.amount, 0);
      same(cents(seen.totals.captured?.amount), paid, `captured of ${order.id}`);
      const returned = order.payments.flatMap(payment => payment.refunds).filter(refund => refund.state === 'Settled').reduce((sum, refund) => sum + refund.total, 0);
      same(cents(seen.totals.refunded?.amount), returned, `refunded of ${order.id}`);
    }
    same((await center.source('shop')).sync.quarantined, 0, 'quarantined');
  });

  const statuses = {
    cart: ['DRAFT', 'UNPAID', 'UNFULFILLED'], arranging: ['PENDING_PAYMENT', 'UNPAID', 'UNFULFILLED'], draft: ['DRAFT', 'NOT_REQUIRED', 'UNFULFILLED'],
    declined: ['PENDING_PAYMENT', 'FAILED', 'UNFULFILLED'], failed: ['PENDING_PAYMENT', 'FAILED', 'UNFULFILLED'],
    authorized: ['PROCESSING', 'AUTHORIZED', 'UNFULFILLED'], paid: ['PROCESSING', 'PAID', 'UNFULFILLED'], packed: ['PROCESSING', 'PAID', 'IN_PROGRESS'],
    partlyShipped: ['PROCESSING', 'PAID', 'PARTIALLY_SHIPPED'], shipped: ['PROCESSING', 'PAID', 'SHIPPED'],
    partlyDelivered: ['PROCESSING', 'PAID', 'PARTIALLY_DELIVERED'], delivered: ['COMPLETED', 'PAID', 'DELIVERED'],
    refunded: ['PROCESSING', 'PARTIALLY_REFUNDED', 'UNFULFILLED'], refundPending: ['PROCESSING', 'PAID', 'UNFULFILLED'],
    canceledAuthorized: ['CANCELED', 'AUTHORIZED', 'CANCELED'],
    modifying: ['PROCESSING', 'PAID', 'UNFULFILLED'], additional: ['PROCESSING', 'PARTIALLY_PAID', 'UNFULFILLED'],
  };
  for (const [what, wanted] of Object.entries(statuses)) {
    await test(`an order that is ${what} has the unified statuses`, async () => {
      const { status, paymentStatus, fulfillmentStatus } = await there(seeded[what]);
      same([status, paymentStatus, fulfillmentStatus], wanted, what);
    });
  }

  await test('changes that leave updatedAt as it is arrive', async () => {
    const [settled, moved, given] = [seeded.authorized, seeded.packed, seeded.paid];
    const before = await Promise.all([settled, moved, given].map(id => shop.get(id)));
    await shop.settle(settled);
    await shop.bring((await shop.get(moved)).fulfillments[0].id, 'Shipped');
    await shop.refund(given, 500, true);
    const after = await Promise.all([settled, moved, given].map(id => shop.get(id)));
    same(after.map(order => order.updatedAt), before.map(order => order.updatedAt), 'updatedAt');
    await when(center, 'the settlement is seen', settled, order => order.paymentStatus === 'PAID');
    await when(center, 'the shipment is seen', moved, order => order.fulfillmentStatus === 'SHIPPED');
    await when(center, 'the refund is seen', given, order => order.paymentStatus === 'PARTIALLY_REFUNDED');
  });
  await follow(center, shop, { method: 'authorizes' }, orderId => ({ orderId, state: 'x', at: randomUUID() }));

  // ---- there and back, by actions
  await test('pay settles what was authorized, once', async () => {
    const id = await shop.order({ method: 'authorizes' });
    same(await offered(center, id, 'pay'), true, 'offered');
    same((await center.done('payOrder', 'shop', id)).paymentStatus, 'PAID', 'payment');
    same((await shop.get(id)).state, 'PaymentSettled', 'state');
    same(await offered(center, id, 'pay'), false, 'offered again');
    same((await center.act('payOrder', 'shop', id)).userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'asked again');
  });
  await test('ship hands over a part, then the rest', async () => {
    const id = await shop.order();
    const [first] = (await shop.get(id)).lines;
    const part = await center.done('shipOrder', 'shop', id, { lines: [{ lineId: first.id, quantity: '1' }], tracking: [{ carrier: 'DHL', number: 'PART-1' }] });
    same(part.fulfillmentStatus, 'PARTIALLY_SHIPPED', 'a part');
    same((await shop.get(id)).fulfillments.map(parcel => [parcel.state, parcel.trackingCode]), [['Shipped', 'PART-1']], 'parcels');
    same((await center.done('shipOrder', 'shop', id)).fulfillmentStatus, 'SHIPPED', 'the rest');
    same((await shop.get(id)).state, 'Shipped', 'state');
    same((await center.act('shipOrder', 'shop', id)).userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'nothing is left');
  });
  await test('a parcel that Vendure packed is handed over and confirmed', async () => {
    const id = await shop.order();
    await shop.pack(id, [0, 1]);
    same((await center.done('performOrderAction', 'shop', id, { action: 'hand_over' })).fulfillmentStatus, 'PARTIALLY_SHIPPED', 'handed over');
    same((await center.done('confirmOrder', 'shop', id)).fulfillmentStatus, 'PARTIALLY_DELIVERED', 'confirmed');
    same((await shop.get(id)).state, 'PartiallyDelivered', 'state');
    // The order's state cannot go back to shipped; the parcel does.
    await center.done('shipOrder', 'shop', id);
    same((await shop.get(id)).fulfillments.map(parcel => parcel.state).sort(), ['Delivered', 'Shipped'], 'parcels');
    const ended = await center.done('confirmOrder', 'shop', id);
    same([ended.status, ended.fulfillmentStatus], ['COMPLETED', 'DELIVERED'], 'the rest confirmed');
    same(await offered(center, id, 'hand_over'), false, 'nothing waits');
  });
  await test('more of a line than is left is not packed', async () => {
    const id = await shop.order();
    const [first] = (await shop.get(id)).lines;
    const answer = await center.act('shipOrder', 'shop', id, { lines: [{ lineId: first.id, quantity: '3' }] });
    expect(/only 2/.test(answer.userErrors[0]?.message), JSON.stringify(answer));
    same((await shop.get(id)).fulfillments, [], 'parcels');
  });
  await test('an authorized payment is let go', async () => {
    const id = await shop.order({ method: 'authorizes' });
    same((await center.done('performOrderAction', 'shop', id, { action: 'void' })).payments[0].status, 'VOIDED', 'payment');
    same((await shop.get(id)).payments[0].state, 'Cancelled', 'state');
    same(await offered(center, id, 'pay'), false, 'offered');
  });
  await test('a pending refund is settled', async () => {
    const id = await shop.order();
    await shop.refund(id, 500, false);
    same((await center.done('performOrderAction', 'shop', id, { action: 'settle_refund', input: { reference: 'bank-1' } })).totals.refunded.amount, '5', 'given back');
    same((await shop.get(id)).payments[0].refunds.map(refund => refund.state), ['Settled'], 'state');
  });
  await test('carts and drafts are canceled, too', async () => {
    const draft = (await shop.admin.ask('mutation { createDraftOrder { id } }')).id;
    for (const id of [await shop.order({ upTo: 'AddingItems' }), await shop.order({ upTo: 'ArrangingPayment' }), draft]) {
      same((await center.done('cancelOrder', 'shop', id)).status, 'CANCELED', 'status');
      same((await shop.get(id)).state, 'Cancelled', 'state');
    }
  });
  await test('a refund of nothing, of less, or of a part of a cent is none', async () => {
    const id = await shop.order();
    for (const amount of ['0', '-5', '0.001']) {
      const refused = await center.act('refundOrder', 'shop', id, { amount }).catch(error => error);
      expect(refused.operation?.state !== 'SUCCEEDED', `${amount}: ${JSON.stringify(refused)}`);
    }
    same((await shop.get(id)).payments[0].refunds, [], 'refunds');
  });
  await test('a refund of an order that has ended is found by reconciliation', async () => {
    const id = seeded.delivered;
    await shop.refund(id, 700, true);
    await center.run('reconcile', 'shop', 300);
    same((await there(id)).totals.refunded?.amount, '7', 'given back');
  });
  await test('cancel takes everything back but the money, and refund gives it back', async () => {
    const id = await shop.order();
    const paid = (await shop.get(id)).payments[0].amount;
    same((await center.done('cancelOrder', 'shop', id, { reason: 'changed their mind' })).status, 'CANCELED', 'status');
    same((await shop.get(id)).state, 'Cancelled', 'state');
    const again = await center.act('cancelOrder', 'shop', id);
    same(again.userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'asked again');
    await center.done('refundOrder', 'shop', id, { amount: (paid / 100).toFixed(2) });
    same((await shop.get(id)).payments[0].refunds.map(refund => refund.total), [paid], 'refunds');
  });
  await test('a refund under one key pays once', async () => {
    const id = await shop.order();
    const idempotencyKey = randomUUID();
    const asked = await Promise.all([1, 2, 3].map(() => center.act('refundOrder', 'shop', id, { idempotencyKey, amount: '10' })));
    const again = await center.act('refundOrder', 'shop', id, { idempotencyKey, amount: '10' });
    same(new Set([...asked, again].map(answer => answer.operation.id)).size, 1, 'operations');
    same(again.operation.state, 'SUCCEEDED', 'outcome');
    same((await shop.get(id)).payments[0].refunds.map(refund => refund.total), [1000], 'refunds');
  });
  await test('three refunds at once never pay more than was paid', async () => {
    const id = await shop.order();
    const paid = (await shop.get(id)).payments[0].amount;
    const amount = (Math.floor(paid * 0.6) / 100).toFixed(2);
    const answers = await Promise.all([1, 2, 3].map(() => center.act('refundOrder', 'shop', id, { amount })));
    same(answers.filter(answer => answer.operation?.state === 'SUCCEEDED').length, 1, 'done');
    const { refunds } = (await shop.get(id)).payments[0];
    expect(refunds.reduce((sum, refund) => sum + refund.total, 0) <= paid, `${JSON.stringify(refunds)} of ${paid}`);
    const refused = answers.find(answer => answer.operation?.state !== 'SUCCEEDED');
    expect(/left to give back/.test(refused.userErrors[0]?.message ?? ''), JSON.stringify(refused));
  });
  await test('transition moves to a state that follows, and names those that do', async () => {
    const id = await shop.order();
    const move = to => center.act('performOrderAction', 'shop', id, { action: 'transition', input: { to } });
    same((await move('Delivered')).userErrors[0]?.code !== undefined, true, 'refused');
    same((await move('Modifying')).operation?.state, 'SUCCEEDED', 'to Modifying');
    same((await shop.get(id)).state, 'Modifying', 'state');
  });

  // ---- trouble
  await test('a server that dies during refunds gives back each at most once', async () => {
    const ids = [];
    for (let i = 0; i < 6; i += 1) ids.push(await shop.order());
    await Promise.all(ids.map(id => until('it is there', () => there(id))));
    const asking = ids.map(id => center.act('refundOrder', 'shop', id, { amount: '10' }).catch(error => ({ error })));
    await Promise.race(asking);
    await shop.server.kill();
    expect(/./.test((await until('the trouble is told', async () => (await center.source('shop')).sync.lastError)) ?? ''), 'no error is told');
    await shop.up();
    const answers = await Promise.all(asking);
    for (const [i, answer] of answers.entries()) {
      const { operation } = answer;
      if (!operation) continue;
      const ended = await until('the outcome is known or the order shows none', async () => {
        const now = await center.operation(operation.id);
        return ['SUCCEEDED', 'REJECTED', 'UNKNOWN'].includes(now.state) && now;
      }, 90);
      const { refunds } = (await shop.get(ids[i])).payments[0];
      expect(refunds.length <= 1, `${refunds.length} refunds`);
      if (ended.state === 'SUCCEEDED') same(refunds.length, 1, 'refunds of one that succeeded');
      if (ended.state === 'REJECTED') same(refunds.length, 0, 'refunds of one that was rejected');
    }
  });
  await settled(center, 'Vendure');
}
