// Orders in the states that a shop reaches less often, and what the center must make of each: the unified order,
// payment, fulfillment and return status.

export const STATES = {
  partlyCaptured: ['PROCESSING', 'PARTIALLY_PAID', 'UNFULFILLED', 'NONE'],
  // Medusa's own word for it is `refunded`.
  partlyCapturedRefunded: ['PROCESSING', 'PARTIALLY_REFUNDED', 'UNFULFILLED', 'NONE'],
  partlyDelivered: ['PROCESSING', 'PAID', 'PARTIALLY_DELIVERED', 'NONE'],
  parcelCanceled: ['PROCESSING', 'AUTHORIZED', 'CANCELED', 'NONE'],
  // An edit cancels the payment that was authorized.
  edited: ['PENDING_PAYMENT', 'UNPAID', 'UNFULFILLED', 'NONE'],
  returnBegun: ['PROCESSING', 'PAID', 'DELIVERED', 'NONE'],
  returnCanceled: ['PROCESSING', 'PAID', 'DELIVERED', 'NONE'],
  returnPartlyReceived: ['PROCESSING', 'OVERPAID', 'DELIVERED', 'PARTIALLY_RETURNED'],
  returnDamaged: ['PROCESSING', 'OVERPAID', 'DELIVERED', 'PARTIALLY_RETURNED'],
  returnedWhole: ['PROCESSING', 'OVERPAID', 'DELIVERED', 'RETURNED'],
  // A part of what came back is given back.
  returnedRefunded: ['PROCESSING', 'OVERPAID', 'DELIVERED', 'PARTIALLY_RETURNED'],
  discounted: ['PROCESSING', 'AUTHORIZED', 'UNFULFILLED', 'NONE'],
  drafted: ['PENDING_PAYMENT', 'UNPAID', 'UNFULFILLED', 'NONE'],
};

/** One order in each of these states; their ids by name. `draft` is an order only once it is converted. */
export async function seedStates(shop) {
  const payment = async id => shop.payment(await shop.look(id)).id;
  const partly = async () => {
    const id = await shop.order();
    await shop.post(`/payments/${await payment(id)}/capture`, { amount: 100 });
    return id;
  };
  const returned = async (id, lines, verb = 'receive-items', quantity = line => line.quantity) => {
    const { return: { id: back } } = await shop.post('/returns', { order_id: id, location_id: shop.location });
    await shop.post(`/returns/${back}/request-items`, { items: lines });
    await shop.post(`/returns/${back}/request`);
    await shop.post(`/returns/${back}/receive`);
    await shop.post(`/returns/${back}/${verb}`, { items: lines.map(line => ({ id: line.id, quantity: quantity(line) })) });
    await shop.post(`/returns/${back}/receive/confirm`);
    return id;
  };
  const lines = async id => (await shop.look(id)).items.map(item => ({ id: item.id, quantity: item.quantity }));
  const draft = async () => (await shop.post('/draft-orders', {
    region_id: shop.regions.eur, email: 'ada@example.org', sales_channel_id: shop.channel, items: [{ variant_id: shop.variants[0], quantity: 1 }],
    shipping_address: { first_name: 'Ada', last_name: 'Byron', address_1: '1 Main St', city: 'Berlin', postal_code: '10115', country_code: 'de' },
  })).draft_order.id;
  await shop.post('/promotions', {
    code: 'TENOFF', type: 'standard', status: 'active',
    application_method: { type: 'percentage', value: 10, target_type: 'items', allocation: 'each', max_quantity: 100, currency_code: 'eur' },
  });

  const seeded = { partlyCaptured: await partly(), partlyCapturedRefunded: await partly(), discounted: await shop.order({ codes: ['TENOFF'] }), draft: await draft(), drafted: await draft() };
  await shop.post(`/payments/${await payment(seeded.partlyCapturedRefunded)}/refund`, { amount: 30 });
  await shop.post(`/draft-orders/${seeded.drafted}/convert-to-order`);

  const paid = await shop.order();
  await shop.capture(paid);
  seeded.partlyDelivered = await shop.deliver(await shop.ship(await shop.pack(paid, [0, 1])));
  const canceled = await shop.pack(await shop.order());
  await shop.post(`/orders/${canceled.id}/fulfillments/${canceled.fulfillment}/cancel`);
  seeded.parcelCanceled = canceled.id;

  seeded.returnBegun = await shop.delivered();
  await shop.post('/returns', { order_id: seeded.returnBegun, location_id: shop.location });
  seeded.returnCanceled = await shop.delivered();
  await shop.post(`/returns/${(await shop.return(seeded.returnCanceled)).id}/cancel`);
  const back = async (count, verb, quantity) => {
    const id = await shop.delivered();
    return returned(id, (await lines(id)).slice(0, count), verb, quantity);
  };
  seeded.returnPartlyReceived = await back(1, 'receive-items', () => 1);
  seeded.returnDamaged = await shop.delivered();
  await returned(seeded.returnDamaged, [{ ...(await lines(seeded.returnDamaged))[0], quantity: 1 }], 'dismiss-items');
  seeded.returnedWhole = await back(2);
  seeded.returnedRefunded = await shop.delivered();
  await shop.receive(await shop.return(seeded.returnedRefunded));
  await shop.post(`/payments/${await payment(seeded.returnedRefunded)}/refund`, { amount: 5 });
  return seeded;
}
