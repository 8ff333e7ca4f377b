// A Medusa shop to sell in: its server, its goods, and orders brought into any state by its own APIs.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { copyFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Server, freePort } from '../center.mjs';

const EMAIL = 'admin@example.org';
const FIELDS = '*items,*items.detail,*fulfillments,*fulfillments.labels,*payment_collections.payments,*payment_collections.payments.captures,'
  + '*payment_collections.payments.refunds,*returns,*shipping_address,total,updated_at';

export class Shop {
  /** Starts a server with the modules of `folder` on an empty database, which it fills. */
  static async start(folder, database) {
    const shop = new Shop();
    shop.folder = folder;
    shop.port = await freePort();
    shop.url = `http://127.0.0.1:${shop.port}`;
    shop.password = randomBytes(12).toString('hex');
    shop.options = {
      cwd: folder,
      env: {
        PATH: process.env.PATH, HOME: process.env.HOME, NODE_ENV: 'production', MEDUSA_DISABLE_TELEMETRY: '1', CI: '1',
        PORT: String(shop.port), ADMIN_PASSWORD: shop.password, DATABASE_URL: database,
      },
    };
    copyFileSync(join(dirname(fileURLToPath(import.meta.url)), 'medusa-config.js'), join(folder, 'medusa-config.js'));
    for (const command of [['db:migrate'], ['user', '-e', EMAIL, '-p', shop.password]]) {
      try {
        execFileSync('node', [shop.program(), ...command], { ...shop.options, stdio: 'pipe' });
      } catch (error) {
        throw new Error(`medusa ${command[0]}: ${error.stdout} ${error.stderr}`);
      }
    }
    await shop.up();
    const { token } = await shop.call('POST', '/auth/user/emailpass', { email: EMAIL, password: shop.password });
    shop.admin = { authorization: `Bearer ${token}` };
    await shop.fill();
    return shop;
  }

  program() {
    return join(this.folder, 'node_modules/@medusajs/cli/cli.js');
  }

  async up() {
    this.server = await new Server('node', [this.program(), 'start', '--host', '127.0.0.1', '--port', String(this.port)], this.options).up(`${this.url}/health`);
  }

  async call(method, path, body, headers = {}) {
    const answer = await fetch(this.url + path, {
      method, headers: { ...headers, ...(body && { 'content-type': 'application/json' }) }, body: body && JSON.stringify(body),
    }).catch(error => { throw new Error(`Medusa: ${method} ${path}: ${error.cause ?? error}; it said last: ${this.server.said.slice(-1000)}`); });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`Medusa: ${method} ${path}: ${answer.status} ${text.slice(0, 400)}`);
    return JSON.parse(text);
  }

  /** What Medusa says to a request that it may refuse: the status, and why. */
  async says(path, body = {}) {
    const answer = await fetch(`${this.url}/admin${path}`, { method: 'POST', headers: { ...this.admin, 'content-type': 'application/json' }, body: JSON.stringify(body) });
    return { status: answer.status, why: (await answer.json().catch(() => ({}))).message };
  }

  get(path) {
    return this.call('GET', `/admin${path}`, undefined, this.admin);
  }

  post(path, body = {}) {
    return this.call('POST', `/admin${path}`, body, this.admin);
  }

  /** Regions, taxes, a warehouse, ways to ship, and four things to buy. */
  async fill() {
    const { sales_channel: channel } = await this.post('/sales-channels', { name: 'Web' });
    const { stores: [store] } = await this.get('/stores');
    await this.post(`/stores/${store.id}`, { supported_currencies: [{ currency_code: 'eur', is_default: true }, { currency_code: 'jpy' }], default_sales_channel_id: channel.id });
    this.channel = channel.id;
    this.regions = {};
    for (const [name, currency, country, rate] of [['Europe', 'eur', 'de', 19], ['Japan', 'jpy', 'jp', 10]]) {
      const { region } = await this.post('/regions', { name, currency_code: currency, countries: [country], payment_providers: ['pp_system_default'], automatic_taxes: true });
      this.regions[currency] = region.id;
      await this.post('/tax-regions', { country_code: country, provider_id: 'tp_system', default_tax_rate: { name: 'VAT', code: `${country}-vat`, rate } });
    }
    const { stock_location: location } = await this.post('/stock-locations', { name: 'Warehouse', address: { address_1: 'Dock 1', city: 'Berlin', country_code: 'de' } });
    this.location = location.id;
    await this.post(`/stock-locations/${location.id}/sales-channels`, { add: [channel.id] });
    await this.post(`/stock-locations/${location.id}/fulfillment-providers`, { add: ['manual_manual'] });
    await this.post(`/stock-locations/${location.id}/fulfillment-sets`, { name: 'Shipping', type: 'shipping' });
    const { stock_location: { fulfillment_sets: [set] } } = await this.get(`/stock-locations/${location.id}?fields=*fulfillment_sets`);
    const { fulfillment_set: { service_zones: [zone] } } = await this.post(`/fulfillment-sets/${set.id}/service-zones`, {
      name: 'World', geo_zones: ['de', 'jp'].map(country_code => ({ type: 'country', country_code })),
    });
    const { shipping_profiles: profiles } = await this.get('/shipping-profiles');
    const profile = profiles[0]?.id ?? (await this.post('/shipping-profiles', { name: 'Default', type: 'default' })).shipping_profile.id;
    const { shipping_option: option } = await this.post('/shipping-options', {
      name: 'Standard', service_zone_id: zone.id, shipping_profile_id: profile, provider_id: 'manual_manual', price_type: 'flat',
      type: { label: 'Standard', description: 'Standard', code: 'standard' },
      prices: [{ currency_code: 'eur', amount: 5 }, { currency_code: 'jpy', amount: 600 }],
      rules: [{ attribute: 'enabled_in_store', value: 'true', operator: 'eq' }, { attribute: 'is_return', value: 'false', operator: 'eq' }],
    });
    this.shipping = option.id;
    this.variants = [];
    // A price of three decimals makes totals that Medusa does not round.
    for (const [sku, price] of [['LAMP', 129.9], ['MOUSE', 24.99], ['NOVEL', 11.95], ['TEA', 7.333]]) {
      const { product } = await this.post('/products', {
        title: sku, status: 'published', shipping_profile_id: profile, sales_channels: [{ id: channel.id }], options: [{ title: 'Default', values: ['Default'] }],
        variants: [{
          title: 'Default', sku, manage_inventory: true, options: { Default: 'Default' },
          prices: [{ currency_code: 'eur', amount: price }, { currency_code: 'jpy', amount: Math.round(price * 160) }],
        }],
      });
      this.variants.push(product.variants[0].id);
      const { inventory_items: [item] } = await this.get(`/inventory-items?sku=${sku}`);
      await this.post(`/inventory-items/${item.id}/location-levels`, { location_id: location.id, stocked_quantity: 100_000 });
    }
    const { api_key: publishable } = await this.post('/api-keys', { title: 'storefront', type: 'publishable' });
    await this.post(`/api-keys/${publishable.id}/sales-channels`, { add: [channel.id] });
    this.store = { 'x-publishable-api-key': publishable.token };
  }

  /** A key for the center. */
  async key() {
    return (await this.post('/api-keys', { title: 'Order Center', type: 'secret' })).api_key.token;
  }

  /** An order as the shop places it: its payment authorized. Lines are [variant, quantity]. */
  async order({ currency = 'eur', lines = [[0, 2], [3, 3]], codes = [] } = {}) {
    const store = (path, body = {}) => this.call('POST', `/store${path}`, body, this.store);
    const address = { first_name: 'Ada', last_name: 'Byron', address_1: '1 Main St', city: 'Berlin', postal_code: '10115', country_code: currency === 'jpy' ? 'jp' : 'de' };
    const { cart } = await store('/carts', {
      region_id: this.regions[currency], email: 'ada@example.org', shipping_address: address, billing_address: address,
      items: lines.map(([variant, quantity]) => ({ variant_id: this.variants[variant], quantity })), promo_codes: codes,
    });
    await store(`/carts/${cart.id}/shipping-methods`, { option_id: this.shipping });
    const { payment_collection: collection } = await store('/payment-collections', { cart_id: cart.id });
    await store(`/payment-collections/${collection.id}/payment-sessions`, { provider_id: 'pp_system_default' });
    const placed = await store(`/carts/${cart.id}/complete`);
    if (placed.type !== 'order') throw new Error(`Medusa: no order: ${JSON.stringify(placed).slice(0, 300)}`);
    return placed.order.id;
  }

  async look(id) {
    return (await this.get(`/orders/${id}?fields=${encodeURIComponent(FIELDS)}`)).order;
  }

  /** Every order. */
  async all() {
    return (await this.get(`/orders?limit=500&fields=${encodeURIComponent('id,display_id,status,payment_status,fulfillment_status,currency_code,total,*payment_collections')}`)).orders;
  }

  payment(order) {
    return order.payment_collections[0].payments[0];
  }

  async capture(id) {
    const payment = this.payment(await this.look(id));
    await this.post(`/payments/${payment.id}/capture`);
    return payment;
  }

  async refund(id, amount) {
    await this.post(`/payments/${this.payment(await this.look(id)).id}/refund`, { amount });
  }

  /** Packs lines, all unless `part`, as [line index, quantity]; what the next steps take. */
  async pack(id, part) {
    const { items } = await this.look(id);
    const picked = part ? [{ id: items[part[0]].id, quantity: part[1] }] : items.map(item => ({ id: item.id, quantity: item.quantity }));
    await this.post(`/orders/${id}/fulfillments`, { items: picked, location_id: this.location });
    return { id, fulfillment: (await this.look(id)).fulfillments.at(-1).id, items: picked };
  }

  async ship({ id, fulfillment, items }) {
    await this.post(`/orders/${id}/fulfillments/${fulfillment}/shipments`, { items, labels: [{ tracking_number: `T${fulfillment.slice(-6)}`, tracking_url: '', label_url: '' }] });
    return { id, fulfillment };
  }

  async deliver({ id, fulfillment }) {
    await this.post(`/orders/${id}/fulfillments/${fulfillment}/mark-as-delivered`);
    return id;
  }

  async delivered() {
    const id = await this.order();
    await this.capture(id);
    return this.deliver(await this.ship(await this.pack(id)));
  }

  /** Asks for one piece back; the return's id. */
  async return(id) {
    const { items: [item] } = await this.look(id);
    const begun = await this.post('/returns', { order_id: id, location_id: this.location });
    await this.post(`/returns/${begun.return.id}/request-items`, { items: [{ id: item.id, quantity: 1 }] });
    await this.post(`/returns/${begun.return.id}/request`);
    return { id: begun.return.id, item: item.id };
  }

  async receive({ id, item }) {
    await this.post(`/returns/${id}/receive`);
    await this.post(`/returns/${id}/receive-items`, { items: [{ id: item, quantity: 1 }] });
    await this.post(`/returns/${id}/receive/confirm`);
  }

  /** Orders in every state; their ids by what they are. */
  async seed() {
    const after = async (id, act) => { await act(id); return id; };
    const captured = async () => after(await this.order(), id => this.capture(id));
    const seeded = {
      authorized: await this.order(),
      yen: await this.order({ currency: 'jpy' }),
      captured: await captured(),
      partlyPacked: (await this.pack(await this.order(), [0, 1])).id,
      packed: (await this.pack(await captured())).id,
      partlyShipped: (await this.ship(await this.pack(await this.order(), [0, 1]))).id,
      shipped: (await this.ship(await this.pack(await captured()))).id,
      delivered: await this.delivered(),
      completed: await after(await this.delivered(), id => this.post(`/orders/${id}/complete`)),
      archived: await after(await this.delivered(), async id => { await this.post(`/orders/${id}/complete`); await this.post(`/orders/${id}/archive`); }),
      canceled: await after(await this.order(), id => this.post(`/orders/${id}/cancel`)),
      canceledCaptured: await after(await captured(), id => this.post(`/orders/${id}/cancel`)),
      partlyRefunded: await after(await captured(), id => this.refund(id, 10)),
      refunded: await after(await captured(), async id => this.refund(id, this.payment(await this.look(id)).amount)),
      returnAsked: await after(await this.delivered(), id => this.return(id)),
      returnReceived: await after(await this.delivered(), async id => this.receive(await this.return(id))),
      editAsked: await after(await this.order(), async id => {
        await this.post('/order-edits', { order_id: id });
        await this.post(`/order-edits/${id}/items`, { items: [{ variant_id: this.variants[1], quantity: 1 }] });
        await this.post(`/order-edits/${id}/request`);
      }),
      edited: await after(await this.order(), async id => {
        await this.post('/order-edits', { order_id: id });
        await this.post(`/order-edits/${id}/items`, { items: [{ variant_id: this.variants[1], quantity: 1 }] });
        await this.post(`/order-edits/${id}/confirm`);
      }),
    };
    return seeded;
  }
}
