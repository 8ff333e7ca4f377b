// Medusa, driven through the center and checked on its own API.
import { randomUUID } from 'node:crypto';
import { expect, finish, test } from '../suites/suite.mjs';
import { Center, same, until } from './center.mjs';
import { actions, offers } from './medusa/actions.mjs';
import { killed, revoked } from './medusa/doubt.mjs';
import { Shop } from './medusa/shop.mjs';
import { STATES, seedStates } from './medusa/states.mjs';
import { WEBHOOK_SECRET, follow, offered, register, settled, when } from './source.mjs';

const address = new URL(process.env.LIVE_DATABASE_URL);
address.pathname = process.env.LIVE_DATABASE;
const shop = await Shop.start(process.env.LIVE_MODULES, String(address));
const center = await Center.start();
try {
  await drive();
} finally {
  await center.stop();
  await shop.server.kill();
}
finish();

/** A decimal in whole cents, half to even, as the adapter rounds what Medusa does not. */
function cents(amount) {
  const exact = Number(amount ?? 0) * 100;
  const whole = Math.round(exact);
  return Math.abs(exact - Math.trunc(exact)) === 0.5 && whole % 2 ? whole - 1 : whole;
}

async function drive() {
  const adapter = await center.upload('medusa');
  const secrets = [{ name: 'api_key', value: await shop.key() }, { name: 'webhook_secret', value: WEBHOOK_SECRET }];
  const input = { key: 'shop', adapter, url: shop.url, secrets, settings: { location: shop.location } };
  const { draft, ...seeded } = { ...await shop.seed(), ...await seedStates(shop) };
  const there = async id => (await center.order('shop', id)) ?? undefined;
  await register(center, input, 'medusa', manifest => manifest.replaceAll('updated_at[$gte]', 'updated_at[gte]'), 'sk_wrong');

  await test('every order is there, as Medusa has it', async () => {
    const all = await shop.all();
    const held = await until('all orders are there', async () => {
      const orders = await center.orders('shop');
      return orders.size >= all.length && orders;
    });
    for (const order of all) {
      const seen = held.get(order.id);
      same(seen?.native.state, order.status, `state of ${order.id}`);
      same(seen.number, String(order.display_id), 'number');
      same(seen.currencyCode, order.currency_code.toUpperCase(), 'currency');
      // The unified order keeps four digits; Medusa's own total has more where a tax is not whole.
      const sums = { total: order.total };
      for (const what of ['captured', 'refunded']) sums[what] = order.payment_collections.reduce((sum, one) => sum + Number(one[`${what}_amount`] ?? 0), 0);
      for (const [what, wanted] of Object.entries(sums)) {
        const { amount } = seen.totals[what] ?? { amount: 0 };
        expect(Math.abs(Number(amount) - wanted) <= 0.0000501, `${what} of ${order.display_id}: ${amount} of ${wanted}`);
      }
    }
    same((await center.source('shop')).sync.quarantined, 0, 'quarantined');
    same(held.has(draft), false, 'a draft, which is no order yet, is there');
  });

  const statuses = {
    authorized: ['PROCESSING', 'AUTHORIZED', 'UNFULFILLED', 'NONE'], yen: ['PROCESSING', 'AUTHORIZED', 'UNFULFILLED', 'NONE'],
    captured: ['PROCESSING', 'PAID', 'UNFULFILLED', 'NONE'], partlyPacked: ['PROCESSING', 'AUTHORIZED', 'IN_PROGRESS', 'NONE'],
    packed: ['PROCESSING', 'PAID', 'READY', 'NONE'], partlyShipped: ['PROCESSING', 'AUTHORIZED', 'PARTIALLY_SHIPPED', 'NONE'],
    shipped: ['PROCESSING', 'PAID', 'SHIPPED', 'NONE'], delivered: ['PROCESSING', 'PAID', 'DELIVERED', 'NONE'],
    completed: ['COMPLETED', 'PAID', 'DELIVERED', 'NONE'], archived: ['COMPLETED', 'PAID', 'DELIVERED', 'NONE'],
    partlyRefunded: ['PROCESSING', 'PARTIALLY_REFUNDED', 'UNFULFILLED', 'NONE'], refunded: ['PROCESSING', 'REFUNDED', 'UNFULFILLED', 'NONE'],
    returnAsked: ['PROCESSING', 'PAID', 'DELIVERED', 'REQUESTED'],
    // What came back is off Medusa's total and not yet given back.
    returnReceived: ['PROCESSING', 'OVERPAID', 'DELIVERED', 'PARTIALLY_RETURNED'],
    editAsked: ['PROCESSING', 'AUTHORIZED', 'UNFULFILLED', 'NONE'],
    ...STATES,
  };
  for (const [what, wanted] of Object.entries(statuses)) {
    await test(`an order that is ${what} has the unified statuses`, async () => {
      const { status, paymentStatus, fulfillmentStatus, returnStatus } = await there(seeded[what]);
      same([status, paymentStatus, fulfillmentStatus, returnStatus], wanted, what);
    });
  }
  for (const what of ['canceled', 'canceledCaptured']) {
    await test(`an order that is ${what} is CANCELED`, async () => same((await there(seeded[what])).status, 'CANCELED', what));
  }

  await test('a capture, which leaves updated_at as it is, arrives', async () => {
    const before = await shop.look(seeded.authorized);
    await shop.capture(seeded.authorized);
    same((await shop.look(seeded.authorized)).updated_at, before.updated_at, 'updated_at');
    await when(center, 'the capture is seen', seeded.authorized, order => order.paymentStatus === 'PAID');
  });
  await test('a return arrives', async () => {
    await shop.return(seeded.delivered);
    await when(center, 'the return is seen', seeded.delivered, order => order.returnStatus === 'REQUESTED');
  });
  await follow(center, shop, {}, id => ({ id }));

  // ---- there and back, by actions
  await test('an order goes all the way: pay, ship in two parts, confirm, complete, archive', async () => {
    const id = await shop.order();
    same(await offered(center, id, 'pay'), true, 'pay is offered');
    same((await center.done('payOrder', 'shop', id)).paymentStatus, 'PAID', 'payment');
    same(await offered(center, id, 'pay'), false, 'pay is offered again');
    const [first] = (await shop.look(id)).items;
    await center.done('shipOrder', 'shop', id, { lines: [{ lineId: first.id, quantity: '1' }], tracking: [{ carrier: 'DHL', number: 'PART-1' }] });
    same((await shop.look(id)).fulfillments.map(parcel => [parcel.shipped_at !== null, parcel.labels[0]?.tracking_number]), [[true, 'PART-1']], 'parcels');
    await center.done('confirmOrder', 'shop', id);
    same((await center.done('shipOrder', 'shop', id)).fulfillmentStatus, 'PARTIALLY_DELIVERED', 'the rest is on its way');
    same((await center.act('shipOrder', 'shop', id)).userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'nothing is left');
    same((await center.done('confirmOrder', 'shop', id)).fulfillmentStatus, 'DELIVERED', 'delivered');
    same((await center.act('cancelOrder', 'shop', id)).userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'too late to cancel');
    same((await center.done('completeOrder', 'shop', id)).status, 'COMPLETED', 'complete');
    await center.done('performOrderAction', 'shop', id, { action: 'archive' });
    same((await shop.look(id)).status, 'archived', 'status');
  });
  await test('cancel gives the captured money back', async () => {
    const id = await shop.order();
    await center.done('payOrder', 'shop', id);
    same((await center.done('cancelOrder', 'shop', id)).status, 'CANCELED', 'status');
    const payment = shop.payment(await shop.look(id));
    const sum = list => list.reduce((total, { amount }) => total + Number(amount), 0);
    same(cents(sum(payment.refunds)), cents(sum(payment.captures)), 'given back');
    same((await center.act('cancelOrder', 'shop', id)).userErrors[0]?.code, 'ACTION_NOT_ALLOWED', 'asked again');
  });
  await test('a refund under one key pays once', async () => {
    const id = await shop.order();
    await center.done('payOrder', 'shop', id);
    const idempotencyKey = randomUUID();
    const asked = await Promise.all([1, 2, 3].map(() => center.act('refundOrder', 'shop', id, { idempotencyKey, amount: '10' })));
    const again = await center.act('refundOrder', 'shop', id, { idempotencyKey, amount: '10' });
    same(new Set([...asked, again].map(answer => answer.operation.id)).size, 1, 'operations');
    same(again.operation.state, 'SUCCEEDED', 'outcome');
    same(shop.payment(await shop.look(id)).refunds.map(refund => Number(refund.amount)), [10], 'refunds');
  });
  await test('three refunds at once never pay more than was captured', async () => {
    const id = await shop.order();
    await center.done('payOrder', 'shop', id);
    const paid = Number(shop.payment(await shop.look(id)).amount);
    const amount = (Math.floor(paid * 60) / 100).toFixed(2);
    const answers = await Promise.all([1, 2, 3].map(() => center.act('refundOrder', 'shop', id, { amount })));
    same(answers.filter(answer => answer.operation?.state === 'SUCCEEDED').length, 1, 'done');
    same(shop.payment(await shop.look(id)).refunds.length, 1, 'refunds');
    const refused = answers.find(answer => answer.operation?.state !== 'SUCCEEDED');
    expect(/left to give back/.test(refused.userErrors[0]?.message ?? ''), JSON.stringify(refused));
  });
  await test('goods come back: a return is asked for and received', async () => {
    const id = await shop.delivered();
    const [first] = (await shop.look(id)).items;
    const { userErrors } = await center.act('requestReturn', 'shop', id, { lines: [{ lineId: first.id, quantity: '9' }] });
    expect(/only \d can come back/.test(userErrors[0]?.message), JSON.stringify(userErrors));
    const asked = await center.done('requestReturn', 'shop', id, { lines: [{ lineId: first.id, quantity: '1' }], reason: 'too bright' });
    same(asked.returnStatus, 'REQUESTED', 'asked for');
    const [{ returnId }] = asked.returns;
    same((await center.done('receiveReturn', 'shop', id, { returnId })).returnStatus, 'PARTIALLY_RETURNED', 'received');
    same((await shop.look(id)).returns.map(item => item.status), ['received'], 'returns');
  });
  await actions(center, shop);
  const { packed, partlyShipped, canceled, archived, partlyCaptured, parcelCanceled, drafted, returnAsked } = seeded;
  await offers(center, shop, { packed, partlyShipped, canceled, archived, partlyCaptured, parcelCanceled, drafted, returnAsked });

  // ---- trouble
  await revoked(center, shop, input);
  await killed(center, shop, input);
  await settled(center, 'Medusa');
}
