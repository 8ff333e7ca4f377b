// A Vendure shop to sell in: its server, its goods, and orders brought into any state by its own APIs.
import { randomBytes } from 'node:crypto';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, freePort } from '../center.mjs';

const ERROR = '__typename ... on ErrorResult { errorCode message }';
const ORDER = `id code state nextStates currencyCode total totalWithTax orderPlacedAt updatedAt
  lines { id quantity orderPlacedQuantity } payments { id state amount refunds { id state total reason } }
  fulfillments { id state trackingCode lines { orderLineId quantity } }`;

/** A session of one of the two APIs; it keeps its token. */
class Session {
  constructor(shop, api) {
    Object.assign(this, { shop, api });
  }

  /** The one root field of an answer; a result that is an error is thrown, too. */
  async ask(query, variables = {}, taken = []) {
    const answer = await fetch(`${this.shop.url}/${this.api}-api`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...(this.token && { authorization: `Bearer ${this.token}` }) },
      body: JSON.stringify({ query, variables }),
    });
    this.token = answer.headers.get('vendure-auth-token') ?? this.token;
    const { data, errors } = await answer.json();
    if (errors) throw new Error(`Vendure: ${errors.map(error => error.message).join('; ')} in ${query.slice(0, 150)}`);
    const [result] = Object.values(data);
    if (result?.errorCode && !taken.includes(result.errorCode)) throw new Error(`Vendure: ${result.errorCode}: ${result.message}`);
    return result;
  }
}

export class Shop {
  /** Starts a server with the modules of `folder` on an empty database. */
  static async start(folder, database) {
    const shop = new Shop();
    const password = randomBytes(12).toString('hex');
    shop.port = await freePort();
    shop.url = `http://127.0.0.1:${shop.port}`;
    shop.options = {
      cwd: folder,
      env: {
        PATH: process.env.PATH, NODE_PATH: join(folder, 'node_modules'), NODE_ENV: 'production', VENDURE_DISABLE_TELEMETRY: '1',
        PORT: shop.port, ADMIN_PASSWORD: password, ...database,
      },
    };
    await shop.up();
    shop.admin = new Session(shop, 'admin');
    await shop.admin.ask(`mutation ($p: String!) { login(username: "superadmin", password: $p, rememberMe: true) { ${ERROR} ... on CurrentUser { id } } }`, { p: password });
    await shop.fill();
    return shop;
  }

  async up() {
    const script = join(dirname(fileURLToPath(import.meta.url)), 'server.cjs');
    this.server = await new Server('node', [script], this.options).up(`${this.url}/health`);
  }

  /** Countries, taxes, ways to ship and to pay, and six things to buy. */
  async fill() {
    const make = async (name, input, list) => {
      const type = `${name[0].toUpperCase()}${name.slice(1).replace(/Variants$/, 'Variant')}Input!`;
      const made = await this.admin.ask(`mutation ($i: ${list ? `[${type}]!` : type}) { ${name}(input: $i) { id } }`, { i: input });
      return list ? made[0].id : made.id;
    };
    const named = (name, more = {}) => ({ translations: [{ languageCode: 'en', name, ...more }] });
    const country = await make('createCountry', { code: 'GB', enabled: true, ...named('United Kingdom') });
    const zone = await make('createZone', { name: 'World', memberIds: [country] });
    const taxes = [];
    for (const [name, value] of [['Standard', 20], ['Reduced', 7]]) {
      const categoryId = await make('createTaxCategory', { name, isDefault: value === 20 });
      await make('createTaxRate', { name: `VAT ${value}`, enabled: true, value, categoryId, zoneId: zone });
      taxes.push(categoryId);
    }
    const { items: [channel] } = await this.admin.ask('{ channels { items { id } } }');
    await this.admin.ask(`mutation ($i: UpdateChannelInput!) { updateChannel(input: $i) { ${ERROR} } }`, {
      i: { id: channel.id, defaultTaxZoneId: zone, defaultShippingZoneId: zone, pricesIncludeTax: false, defaultCurrencyCode: 'EUR', availableCurrencyCodes: ['EUR'] },
    });
    const argument = (name, value) => ({ name, value });
    this.shipping = await make('createShippingMethod', {
      code: 'standard', fulfillmentHandler: 'manual-fulfillment', ...named('Standard', { description: '' }),
      checker: { code: 'default-shipping-eligibility-checker', arguments: [argument('orderMinimum', '0')] },
      calculator: { code: 'default-shipping-calculator', arguments: [argument('rate', '500'), argument('taxRate', '20'), argument('includesTax', 'auto')] },
    });
    for (const [code, settles] of [['settles', 'true'], ['authorizes', 'false']]) {
      await make('createPaymentMethod', {
        code, enabled: true, handler: { code: 'dummy-payment-handler', arguments: [argument('automaticSettle', settles)] }, ...named(code, { description: '' }),
      });
    }
    this.variants = [];
    for (const [sku, price, tax] of [['LAMP', 12_990, 0], ['MOUSE', 2_499, 0], ['CABLE', 999, 0], ['NOVEL', 1_195, 1], ['TEA', 733, 1]]) {
      const productId = await make('createProduct', { enabled: true, ...named(sku, { slug: sku.toLowerCase(), description: sku }) });
      this.variants.push(await make('createProductVariants', [{
        productId, sku, price, taxCategoryId: taxes[tax], stockOnHand: 100_000, trackInventory: 'TRUE', ...named(sku),
      }], true));
    }
  }

  /** A key for the center: it may read and change orders, and nothing else. */
  async key() {
    const role = await this.admin.ask('mutation ($i: CreateRoleInput!) { createRole(input: $i) { id } }', {
      i: { code: 'order-center', description: 'Order Center', permissions: ['ReadOrder', 'UpdateOrder'] },
    });
    const made = await this.admin.ask(
      `mutation ($i: CreateApiKeyInput!) { createApiKey(input: $i) { apiKey } }`,
      { i: { roleIds: [role.id], translations: [{ languageCode: 'en', name: 'Order Center' }] } });
    return made.apiKey;
  }

  /** An order as far as `AddingItems`, `ArrangingPayment` or, with a `method`, placed. Lines are [variant, quantity]. */
  async order({ upTo, method = 'settles', metadata = {}, lines = [[0, 2], [3, 3]] } = {}) {
    const shop = new Session(this, 'shop');
    for (const [variant, quantity] of lines) {
      await shop.ask(`mutation ($v: ID!, $q: Int!) { addItemToOrder(productVariantId: $v, quantity: $q) { ${ERROR} } }`, { v: this.variants[variant], q: quantity });
    }
    const started = await shop.ask('{ activeOrder { id } }');
    if (upTo === 'AddingItems') return started.id;
    await shop.ask(`mutation ($i: CreateCustomerInput!) { setCustomerForOrder(input: $i) { ${ERROR} } }`, {
      i: { firstName: 'Ada', lastName: 'Byron', emailAddress: `ada${started.id}@example.org` },
    });
    await shop.ask(`mutation ($i: CreateAddressInput!) { setOrderShippingAddress(input: $i) { ${ERROR} } }`, {
      i: { fullName: 'Ada Byron', streetLine1: '1 Main St', city: 'London', postalCode: 'N1 1AA', countryCode: 'GB' },
    });
    await shop.ask(`mutation ($m: [ID!]!) { setOrderShippingMethod(shippingMethodId: $m) { ${ERROR} } }`, { m: [this.shipping] });
    await shop.ask(`mutation { transitionOrderToState(state: "ArrangingPayment") { ${ERROR} } }`);
    if (upTo === 'ArrangingPayment') return started.id;
    await shop.ask(`mutation ($i: PaymentInput!) { addPaymentToOrder(input: $i) { ${ERROR} } }`, { i: { method, metadata } },
      ['PAYMENT_DECLINED_ERROR', 'PAYMENT_FAILED_ERROR']);
    return started.id;
  }

  get(id) {
    return this.admin.ask(`query ($id: ID!) { order(id: $id) { ${ORDER} } }`, { id });
  }

  /** Every order, carts among them. */
  async all() {
    return (await this.admin.ask(`{ orders(options: { take: 1000 }) { items { ${ORDER} } } }`)).items;
  }

  /** Packs lines, all unless `part`, as [line index, quantity]; the fulfillment's id. */
  async pack(id, part) {
    const { lines } = await this.get(id);
    const picked = part ? [{ orderLineId: lines[part[0]].id, quantity: part[1] }] : lines.map(line => ({ orderLineId: line.id, quantity: line.quantity }));
    const handler = { code: 'manual-fulfillment', arguments: [{ name: 'method', value: 'DHL' }, { name: 'trackingCode', value: `T${id}` }] };
    const made = await this.admin.ask(`mutation ($i: FulfillOrderInput!) { addFulfillmentToOrder(input: $i) { ${ERROR} ... on Fulfillment { id } } }`, { i: { lines: picked, handler } });
    return made.id;
  }

  /** Brings a parcel into states, one after another. */
  async bring(fulfillment, ...states) {
    for (const state of states) {
      await this.admin.ask(`mutation ($id: ID!, $s: String!) { transitionFulfillmentToState(id: $id, state: $s) { ${ERROR} } }`, { id: fulfillment, s: state });
    }
  }

  async to(id, state) {
    await this.admin.ask(`mutation ($id: ID!, $s: String!) { transitionOrderToState(id: $id, state: $s) { ${ERROR} } }`, { id, s: state });
  }

  async cancel(id, lines) {
    await this.admin.ask(`mutation ($i: CancelOrderInput!) { cancelOrder(input: $i) { ${ERROR} } }`, { i: { orderId: id, reason: 'test', cancelShipping: !lines, lines } });
  }

  async settle(id) {
    const { payments } = await this.get(id);
    await this.admin.ask(`mutation ($id: ID!) { settlePayment(id: $id) { ${ERROR} } }`, { id: payments.find(payment => payment.state === 'Authorized').id });
  }

  /** Gives back so many cents; settled at once where `settled`. */
  async refund(id, amount, settled) {
    const { payments } = await this.get(id);
    const input = { paymentId: payments.find(payment => payment.state === 'Settled').id, amount, reason: 'test', lines: [], shipping: 0, adjustment: 0 };
    const made = await this.admin.ask(`mutation ($i: RefundOrderInput!) { refundOrder(input: $i) { ${ERROR} ... on Refund { id } } }`, { i: input });
    if (settled) await this.admin.ask(`mutation ($i: SettleRefundInput!) { settleRefund(input: $i) { ${ERROR} } }`, { i: { id: made.id, transactionId: `R${made.id}` } });
  }

  /** Orders in every state; their ids by what they are. */
  async seed() {
    const parcel = async (states, part) => {
      const id = await this.order();
      await this.bring(await this.pack(id, part), ...states);
      return id;
    };
    const changed = async (id, act) => { await act(id); return id; };
    const modifying = async id => this.to(id, 'Modifying');
    const seeded = {
      cart: await this.order({ upTo: 'AddingItems' }),
      arranging: await this.order({ upTo: 'ArrangingPayment' }),
      declined: await this.order({ metadata: { shouldDecline: true } }),
      failed: await this.order({ metadata: { shouldError: true } }),
      authorized: await this.order({ method: 'authorizes' }),
      paid: await this.order(),
      packed: await parcel([]),
      partlyShipped: await parcel(['Shipped'], [0, 1]),
      shipped: await parcel(['Shipped']),
      partlyDelivered: await parcel(['Shipped', 'Delivered'], [0, 1]),
      delivered: await parcel(['Shipped', 'Delivered']),
      canceled: await changed(await this.order(), id => this.cancel(id)),
      canceledAuthorized: await changed(await this.order({ method: 'authorizes' }), id => this.cancel(id)),
      partlyCanceled: await changed(await this.order(), async id => this.cancel(id, [{ orderLineId: (await this.get(id)).lines[0].id, quantity: 1 }])),
      refunded: await changed(await this.order(), id => this.refund(id, 1_000, true)),
      refundPending: await changed(await this.order(), id => this.refund(id, 1_000, false)),
      modifying: await changed(await this.order(), modifying),
      additional: await changed(await this.order(), async id => {
        await modifying(id);
        await this.admin.ask(`mutation ($i: ModifyOrderInput!) { modifyOrder(input: $i) { ${ERROR} } }`, {
          i: { orderId: id, dryRun: false, addItems: [{ productVariantId: this.variants[2], quantity: 1 }], note: 'test' },
        });
        await this.to(id, 'ArrangingAdditionalPayment');
      }),
    };
    seeded.draft = (await this.admin.ask('mutation { createDraftOrder { id } }')).id;
    return seeded;
  }
}
