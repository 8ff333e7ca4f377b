// The real program in front of a real platform: a center with a database of its own, asked over GraphQL, and the
// platform's server as a process that can be killed.
import { spawn } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { expect, here } from '../suites/suite.mjs';

const root = resolve(here, '../..');

/** Asks again until `look` gives something, and gives that; fails with what it was waited for. */
export async function until(what, look, seconds = 60) {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    if (Date.now() > end) throw new Error(`waited ${seconds} s until ${what}`);
    await new Promise(done => setTimeout(done, 200));
  }
}

/** Throws unless two values have the same JSON. */
export function same(seen, wanted, what) {
  expect(JSON.stringify(seen) === JSON.stringify(wanted), `${what}: expected ${JSON.stringify(wanted)}, got ${JSON.stringify(seen)}`);
}

/** A port that was free a moment ago. */
export function freePort() {
  return new Promise((done, failed) => {
    const server = createServer().on('error', failed).listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => done(port));
    });
  });
}

// Whatever ends this program ends what it started: servers are killed at `exit`, which a signal alone does not reach.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.once(signal, () => process.exit(130));

/** A server process: what it said last is told when it does not come up. */
export class Server {
  constructor(command, args, options) {
    this.said = '';
    this.process = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options });
    this.ended = new Promise(done => this.process.once('exit', done));
    process.once('exit', () => this.process.kill('SIGKILL'));
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream.on('data', text => { this.said = (this.said + text).slice(-20_000); });
    }
  }

  /** Waits until the address answers with success. */
  async up(url, seconds = 240) {
    await until(`${url} answers`, async () => {
      if (this.process.exitCode !== null) throw new Error(`the server ended:\n${this.said.slice(-3000)}`);
      return fetch(url).then(answer => answer.ok, () => false);
    }, seconds);
    return this;
  }

  async kill(signal = 'SIGKILL') {
    this.process.kill(signal);
    await this.ended;
  }
}

/** The global id of an order: what is no letter, digit or hyphen is escaped. */
function globalId(source, id) {
  return `ord_${source}_${id.replace(/[^A-Za-z0-9-]/g, mark => `~${mark.charCodeAt(0).toString(16)}`)}`;
}

const ORDER = `id sourceOrderId number status paymentStatus fulfillmentStatus returnStatus version native { state }
  currencyCode totals { total { amount } captured { amount } refunded { amount } tax { amount } }
  lines { lineId sku quantity { ordered current fulfilled refunded returned } }
  payments { paymentId status amount { amount } } refunds { refundId status amount { amount } }
  fulfillments { fulfillmentId status tracking { number } } returns { returnId status }
  availableActions { name enabled blockers { code message } } checks { code path expected actual }`;
const OPERATION = 'id state error { code message }';

export class Center {
  /** `private` hosts are on this machine, as they are here, and must be allowed by name. */
  static async start() {
    const center = new Center();
    center.folder = mkdtempSync(join(tmpdir(), 'order-center-live-'));
    writeFileSync(join(center.folder, 'center.toml'), `
[database]
url = "sqlite:${join(center.folder, 'center.db')}"
[http]
listen = "127.0.0.1:0"
[ingest]
poll_interval_ms = 1000
# Polling then brings nothing that a change list leaves out: what the tests see of that came by reading again.
overlap_s = 0
[operation]
wait_ms = 60000
settle_backoff_ms = 500
[catalog]
secret_key = "env:ORDER_CENTER_SECRET_KEY"
private_hosts = ["127.0.0.1"]
reread_interval_s = 5
`);
    const program = process.env.ORDER_CENTER_BIN;
    center.server = new Server(program, ['serve', '--config', join(center.folder, 'center.toml')], {
      env: { PATH: process.env.PATH, ORDER_CENTER_SECRET_KEY: randomBytes(32).toString('base64') },
    });
    center.base = await until('the center listens', () => {
      if (center.server.process.exitCode !== null) throw new Error(center.server.said);
      return center.server.said.match(/127\.0\.0\.1:\d+/)?.[0];
    });
    center.base = `http://${center.base}`;
    return center;
  }

  async stop() {
    await this.server.kill('SIGINT');
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** The data of a query; an error is thrown. */
  async ask(query, variables = {}) {
    const answer = await fetch(`${this.base}/graphql`, {
      method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query, variables }),
    });
    const { data, errors } = await answer.json();
    if (errors) throw new Error(`${JSON.stringify(errors)} in ${query.slice(0, 200)}`);
    return data;
  }

  /** Uploads the adapter of this checkout, changed by `change(manifest)`, under a version of its own. */
  async upload(name, change = manifest => manifest) {
    const folder = join(root, 'adapters', name);
    const files = [];
    for (const path of readdirSync(folder, { recursive: true })) {
      if (/\.(toml|jq|graphql)$/.test(path)) files.push({ path, text: readFileSync(join(folder, path), 'utf8') });
    }
    this.uploads = (this.uploads ?? 0) + 1;
    const version = `1.0.${1000 + this.uploads}`;
    for (const file of files.filter(file => file.path === 'adapter.toml')) {
      file.text = change(file.text.replace(/^version = .*$/m, `version = "${version}"`));
    }
    const { uploadAdapter } = await this.ask(
      'mutation ($files: [AdapterFileInput!]!) { uploadAdapter(files: $files) { userErrors { message } } }', { files });
    if (uploadAdapter.userErrors.length) throw new Error(JSON.stringify(uploadAdapter.userErrors));
    return `${name}@${version}`;
  }

  /** Registers a source; gives the errors. */
  async register(input) {
    const { registerSource } = await this.ask(
      'mutation ($input: RegisterSourceInput!) { registerSource(input: $input) { userErrors { code message field } } }', { input });
    return registerSource.userErrors;
  }

  /** Every order of a source, by its id there. */
  async orders(source) {
    const found = new Map();
    for (let after = null; ;) {
      const { orders } = await this.ask(
        `query ($source: String!, $after: String) { orders(first: 50, after: $after, where: { source: { eq: $source } })
          { nodes { ${ORDER} } pageInfo { hasNextPage endCursor } } }`, { source, after });
      for (const order of orders.nodes) found.set(order.sourceOrderId, order);
      if (!orders.pageInfo.hasNextPage) return found;
      after = orders.pageInfo.endCursor;
    }
  }

  async order(source, id) {
    return (await this.ask(`query ($id: ID!) { order(by: { id: $id }) { ${ORDER} } }`, { id: globalId(source, id) })).order;
  }

  /** Reads an order from its owner now. */
  async refresh(source, id) {
    const query = `mutation ($id: ID!) { refreshOrder(id: $id) { ${ORDER} } }`;
    return (await this.ask(query, { id: globalId(source, id) })).refreshOrder;
  }

  /** Asks for an action, such as `refundOrder`; a key of its own unless given. `input` is of the mutation. */
  async act(mutation, source, id, input = {}) {
    const type = `${mutation[0].toUpperCase()}${mutation.slice(1)}Input`;
    const answer = await this.ask(
      `mutation ($input: ${type}!) { ${mutation}(input: $input) { order { ${ORDER} } operation { ${OPERATION} } userErrors { code message } } }`,
      { input: { idempotencyKey: randomUUID(), ...input, id: globalId(source, id) } });
    return answer[mutation];
  }

  /** The same; what is refused or in doubt is thrown. The order is read again: a slow platform's is not waited for. */
  async done(mutation, source, id, input = {}) {
    const answer = await this.act(mutation, source, id, input);
    if (answer.operation?.state !== 'SUCCEEDED') throw new Error(`${mutation}: ${JSON.stringify([answer.operation, answer.userErrors])}`);
    return this.refresh(source, id);
  }

  /** Asks for what is refused; gives the error, which names the reason in `pattern`. */
  async refused(pattern, mutation, source, id, input = {}) {
    const { operation, userErrors: [error] } = await this.act(mutation, source, id, input);
    expect(operation?.state !== 'SUCCEEDED' && pattern.test(error?.message ?? ''), `${mutation} is not refused with ${pattern}: ${JSON.stringify([operation, error])}`);
    return error;
  }

  async operation(id) {
    return (await this.ask(`query ($id: ID!) { operation(id: $id) { ${OPERATION} } }`, { id })).operation;
  }

  async source(key) {
    return (await this.ask(
      'query ($key: String!) { source(key: $key) { sync { quarantined lastError drift lagSeconds rateBudget { left } } } }', { key })).source;
  }

  /** Asks for a run, `backfill` or `reconcile`, and waits for its report. */
  async run(kind, key, seconds = 120) {
    const answer = await this.ask(`mutation ($key: String!) { ${kind}(key: $key) { run { id } userErrors { message } } }`, { key });
    if (answer[kind].userErrors.length) throw new Error(JSON.stringify(answer[kind].userErrors));
    const { id } = answer[kind].run;
    const ended = await until(`the ${kind} has ended`, async () => {
      const { sourceRun } = await this.ask('query ($id: ID!) { sourceRun(id: $id) { state error report } }', { id });
      return ['SUCCEEDED', 'FAILED'].includes(sourceRun.state) && sourceRun;
    }, seconds);
    if (ended.state !== 'SUCCEEDED') throw new Error(`${kind}: ${ended.error}`);
    return ended.report;
  }
}
