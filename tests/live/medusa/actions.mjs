// What may be asked of an order beyond the plain way through: the rest of a capture, parcels by name, whole returns,
// and what is refused before Medusa would refuse it too late.
import { expect, test } from '../../suites/suite.mjs';
import { same } from '../center.mjs';

export async function actions(center, shop) {
  const done = (...ask) => center.done(ask[0], 'shop', ...ask.slice(1));
  const custom = (action, id, input) => done('performOrderAction', id, { action, input });
  const refused = async (pattern, ...ask) => {
    const { operation, userErrors } = await center.act(ask[0], 'shop', ...ask.slice(1));
    expect(operation?.state !== 'SUCCEEDED' && pattern.test(userErrors[0]?.message ?? ''), `not refused with ${pattern}: ${JSON.stringify([operation, userErrors])}`);
  };

  await test('what is left of a payment is captured', async () => {
    const id = await shop.order();
    const { id: payment, amount } = shop.payment(await shop.look(id));
    await shop.post(`/payments/${payment}/capture`, { amount: 100 });
    same((await done('payOrder', id)).paymentStatus, 'PAID', 'payment');
    const captured = shop.payment(await shop.look(id)).captures.reduce((sum, { amount: part }) => sum + part, 0);
    expect(Math.abs(captured - amount) < 0.000001, `captured ${captured} of ${amount}`);
  });

  await test('an order with an open edit is not canceled, and keeps its payment', async () => {
    const id = await shop.order();
    await shop.post('/order-edits', { order_id: id });
    await refused(/edit.* is open/, 'cancelOrder', id);
    same(shop.payment(await shop.look(id)).canceled_at, null, 'payment canceled');
    await shop.call('DELETE', `/admin/order-edits/${id}`, undefined, shop.admin);
    same((await done('cancelOrder', id)).status, 'CANCELED', 'canceled without it');
  });

  await test('two parcels: each is handed over and confirmed by its name', async () => {
    const id = await shop.order();
    const [first, second] = (await shop.look(id)).items;
    const parcel = async item => {
      await shop.post(`/orders/${id}/fulfillments`, { items: [{ id: item.id, quantity: item.quantity }] });
      return (await shop.look(id)).fulfillments.map(one => one.id);
    };
    const [one] = await parcel(first);
    const two = (await parcel(second)).find(other => other !== one);
    await refused(/left to be packed/, 'shipOrder', id);
    await refused(/say which/, 'performOrderAction', id, { action: 'hand_over' });
    await refused(/No packed parcel/, 'performOrderAction', id, { action: 'hand_over', input: { fulfillment: 'ful_NONE' } });
    await custom('hand_over', id, { fulfillment: one, tracking: [{ number: 'ONE' }] });
    same((await custom('hand_over', id)).fulfillmentStatus, 'SHIPPED', 'both on their way');
    await refused(/say which/, 'confirmOrder', id);
    same((await done('confirmOrder', id, { input: { fulfillment: two } })).fulfillmentStatus, 'PARTIALLY_DELIVERED', 'one arrived');
    same((await done('confirmOrder', id)).fulfillmentStatus, 'DELIVERED', 'both arrived');
    const numbers = (await shop.look(id)).fulfillments.flatMap(({ labels }) => labels.map(label => label.tracking_number));
    same(numbers, ['ONE'], 'tracking');
  });

  await test('more than was ordered is not shipped, with the reason', async () => {
    const id = await shop.order();
    const [{ id: lineId }] = (await shop.look(id)).items;
    await refused(/fulfill|quantity/i, 'shipOrder', id, { lines: [{ lineId, quantity: '99' }] });
    same((await shop.look(id)).fulfillments.length, 0, 'parcels');
  });

  await test('no more is given back than is left, and nothing is no refund', async () => {
    const id = await shop.order();
    await refused(/no captured money/, 'refundOrder', id, { amount: '1' });
    await done('payOrder', id);
    await refused(/left to give back/, 'refundOrder', id, { amount: '9999' });
    await refused(/above zero/, 'refundOrder', id, { amount: '0' });
    // Medusa compares whole cents, so it would give back a fraction more than it took.
    await done('refundOrder', id, { amount: '0.001' });
    await refused(/left to give back/, 'refundOrder', id, { amount: '341.2908' });
    await done('refundOrder', id, { amount: '341.2898' });
    same((await center.order('shop', id)).paymentStatus, 'REFUNDED', 'payment');
  });

  await test('a whole order comes back, one line damaged', async () => {
    const id = await shop.delivered();
    const [{ id: lineId, quantity }] = (await shop.look(id)).items;
    await done('requestReturn', id, { lines: [{ lineId, quantity: String(quantity) }] });
    await refused(/can come back/, 'requestReturn', id, { lines: [{ lineId, quantity: '1' }] });
    await refused(/refund of its own/, 'receiveReturn', id, { refund: true });
    same((await done('receiveReturn', id, { disposition: 'DAMAGED' })).returnStatus, 'PARTIALLY_RETURNED', 'the first');
    same((await done('requestReturn', id)).returns.map(({ status }) => status).sort(), ['RECEIVED', 'REQUESTED'], 'the rest');
    const order = await done('receiveReturn', id);
    same(order.returnStatus, 'RETURNED', 'all of it');
    same(order.lines.map(line => [line.quantity.returned, line.quantity.current]), order.lines.map(line => [line.quantity.ordered, '0']), 'quantities');
    await refused(/could come back/, 'requestReturn', id);
    same((await shop.look(id)).items.map(({ detail }) => detail.return_dismissed_quantity).sort(), [0, quantity], 'damaged');
  });

  await test('a return that is being entered in Medusa blocks another', async () => {
    const id = await shop.delivered();
    const { return: begun } = await shop.post('/returns', { order_id: id });
    await refused(/being entered/, 'requestReturn', id);
    await shop.call('DELETE', `/admin/returns/${begun.id}/request`, undefined, shop.admin);
    same((await done('requestReturn', id)).returnStatus, 'REQUESTED', 'once it is given up');
  });

  await test('an address is changed whole, within its country', async () => {
    const id = await shop.order();
    const address = { name: 'Grace Brewster Hopper', company: 'Compilers Ltd', lines: ['3 Side St', 'Floor 2'], city: 'Ulm', region: 'BW', postalCode: '89073', phone: '+49 731 000' };
    await done('modifyOrder', id, { shippingAddress: address });
    const now = (await shop.look(id)).shipping_address;
    same([now.first_name, now.last_name, now.company, now.address_1, now.address_2, now.city, now.province, now.postal_code, now.phone, now.country_code],
      ['Grace Brewster', 'Hopper', 'Compilers Ltd', '3 Side St', 'Floor 2', 'Ulm', 'BW', '89073', '+49 731 000', 'de'], 'address');
    await refused(/Country/, 'modifyOrder', id, { shippingAddress: { ...address, countryCode: 'JP' } });
  });
}

/** Takes whatever is offered, from each of these orders on, until nothing is: every offer must be accepted. */
export async function offers(center, shop, ids) {
  const parcel = (order, from, to) => ({ fulfillment: order.fulfillments.find(one => one[from] && !one[to] && !one.canceled_at)?.id });
  const asks = {
    pay: () => ['payOrder'],
    ship: () => ['shipOrder'],
    hand_over: order => ['performOrderAction', { action: 'hand_over', input: parcel(order, 'packed_at', 'shipped_at') }],
    confirm: order => ['confirmOrder', { input: parcel(order, 'shipped_at', 'delivered_at') }],
    refund: () => ['refundOrder', { amount: '1' }],
    request_return: () => ['requestReturn'],
    receive_return: order => ['receiveReturn', { returnId: order.returns.find(({ status }) => status === 'requested').id }],
    cancel: () => ['cancelOrder'],
    complete: () => ['completeOrder'],
    archive: () => ['performOrderAction', { action: 'archive' }],
  };
  // What is not offered, as Medusa itself is asked for it. The rest it takes although nothing comes of it: a capture or
  // completion that was already done, the delivery of a parcel that nobody handed over, the receipt of a received return.
  const refusals = {
    cancel: order => `/orders/${order.id}/cancel`,
    archive: order => `/orders/${order.id}/archive`,
    hand_over: order => `/orders/${order.id}/fulfillments/${order.fulfillments[0]?.id ?? 'ful_NONE'}/shipments`,
    refund: order => `/payments/${order.payment_collections[0]?.payments?.[0]?.id ?? 'pay_NONE'}/refund`,
  };
  const bodies = { hand_over: { items: [], labels: [] }, refund: { amount: 1 } };
  for (const [what, id] of Object.entries(ids)) {
    await test(`what is offered of an order that is ${what} is accepted, and what is not is refused`, async () => {
      const taken = [];
      for (;;) {
        const offered = (await center.refresh('shop', id)).availableActions.filter(action => action.enabled).map(action => action.name);
        const order = await shop.look(id);
        if (!taken.length) {
          for (const [action, path] of Object.entries(refusals)) {
            if (offered.includes(action)) continue;
            const { status, why } = await shop.says(path(order), bodies[action]);
            expect(status >= 400, `${action} is not offered, and Medusa takes it: ${status} ${why}`);
          }
        }
        const next = Object.keys(asks).find(action => offered.includes(action) && !taken.includes(action));
        if (!next) break;
        taken.push(next);
        const [mutation, input] = asks[next](order);
        await center.done(mutation, 'shop', id, input).catch(error => { throw new Error(`${taken}: ${error.message}`); });
      }
      expect(taken.length > 0 || what === 'archived', 'nothing was offered');
      if (process.env.VERBOSE) console.log(`        ${taken.join(', ')}`);
    });
  }
}
