// How fast a center reads a shop that it has never seen, and how much memory it takes:
//
//   node tests/bench/backfill.mjs [ORDERS]        100000 unless told
//
// A local server pages through so many WooCommerce orders, made from the adapter's own fixtures. The real program reads
// them through the real adapter into a fresh SQLite file, pinned to one core with its mapping workers; the server has
// the other. ORDER_CENTER_BIN names the program, target/release/order-center unless told. FLOOR=700 makes fewer orders a
// second a failure.
import { execFileSync, fork, spawn } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..');
const adapter = join(root, 'adapters/woocommerce');
const orders = Number(process.argv[2] ?? 100_000);
if (process.send) servePages();
else await measure();

// ---- the shop

/** Answers `GET /wp-json/wc/v3/orders` as WooCommerce does: sorted by the time of change, a hundred a page. */
function servePages() {
  const first = Date.UTC(2024, 0, 1);
  const stamp = index => new Date(first + index * 1000).toISOString().slice(0, 19);
  const templates = ['list-open', 'order-completed-partly-refunded'].flatMap(name => {
    const fixture = JSON.parse(readFileSync(join(adapter, 'fixtures', `${name}.json`), 'utf8'));
    return fixture.data ?? [fixture];
  });
  // Refunds would be read one by one: that measures the shop's answers, not the center.
  const texts = templates.map(order => JSON.stringify({
    ...order, id: '%ID', number: '%NO', refunds: [], date_modified: '%AT', date_modified_gmt: '%AT',
  }));
  const text = index => texts[index % texts.length]
    .replace('"%ID"', String(index + 1)).replace('"%NO"', `"${index + 1}"`).replaceAll('%AT', stamp(index));
  const server = createServer((request, response) => {
    const url = new URL(request.url, 'http://localhost');
    const size = Number(url.searchParams.get('per_page') ?? 10);
    const after = url.searchParams.get('modified_after');
    // Orders change a second apart, so the time says which is next.
    const since = after ? Math.max(0, Math.floor((Date.parse(`${after.replace(/Z$/, '')}Z`) - first) / 1000) + 1) : 0;
    const start = since + (Number(url.searchParams.get('page') ?? 1) - 1) * size;
    const page = [];
    for (let i = start; i < Math.min(start + size, orders); i += 1) page.push(text(i));
    const total = Math.max(0, orders - since);
    response.setHeader('content-type', 'application/json');
    response.setHeader('x-wp-total', total);
    response.setHeader('x-wp-totalpages', Math.ceil(total / size));
    response.end(`[${page.join(',')}]`);
  });
  server.listen(0, '127.0.0.1', () => process.send({ port: server.address().port, bytes: text(0).length }));
  process.on('disconnect', () => process.exit());
}

// ---- the measurement

async function measure() {
  const program = process.env.ORDER_CENTER_BIN ?? join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'release/order-center');
  const folder = mkdtempSync(join(tmpdir(), 'order-center-backfill-'));
  const shop = fork(fileURLToPath(import.meta.url), [String(orders)]);
  let center;
  try {
    const { port } = await new Promise((done, failed) => shop.once('message', done).once('exit', failed));
    // The adapter as it is, but for the rate that protects a real shop.
    cpSync(adapter, join(folder, 'adapter'), { recursive: true });
    const manifest = join(folder, 'adapter/adapter.toml');
    writeFileSync(manifest, readFileSync(manifest, 'utf8').replace(/^rate = .*$/m, ''));
    writeFileSync(join(folder, 'center.toml'), `
[database]
url = "sqlite:${join(folder, 'center.db')}"
[http]
listen = "127.0.0.1:0"
[[sources]]
key = "shop"
adapter = "${join(folder, 'adapter')}"
url = "http://127.0.0.1:${port}"
secrets = { consumer_key = "env:SHOP_KEY", consumer_secret = "env:SHOP_SECRET" }
`);
    const pinned = process.platform === 'linux' ? ['taskset', '-c', '0', program] : [program];
    const began = Date.now();
    center = spawn(pinned[0], [...pinned.slice(1), 'serve', '--config', join(folder, 'center.toml')], {
      env: { PATH: process.env.PATH, SHOP_KEY: 'ck', SHOP_SECRET: 'cs' }, stdio: ['ignore', 'ignore', 'pipe'],
    });
    const url = await address(center);
    let indexed = 0, peak = 0, halfway;
    while (indexed < orders) {
      await new Promise(done => setTimeout(done, 500));
      if (center.exitCode !== null) throw new Error(`the center ended with ${center.exitCode}`);
      if (Date.now() - began > orders * 20 + 60_000) throw new Error(`${indexed} of ${orders} orders after ${(Date.now() - began) / 1000} s`);
      const now = usage(center.pid);
      peak = Math.max(peak, now.kib);
      indexed = await count(url);
      if (!halfway && indexed >= orders / 2) halfway = now.kib;
    }
    const seconds = (Date.now() - began) / 1000;
    const spent = usage(center.pid);
    console.log(`backfill of ${orders} orders through the adapter of WooCommerce, one core`);
    row('orders a second', (orders / seconds).toFixed(0));
    row('CPU of one order', `${(spent.micros / orders).toFixed(0)} µs`);
    for (const [name, micros] of Object.entries(spent.of)) row(`  in the ${name}`, `${(micros / orders).toFixed(0)} µs`);
    row('resident memory, all processes', `${(halfway / 1024).toFixed(0)} MiB halfway, ${(peak / 1024).toFixed(0)} MiB at most`);
    if (orders / seconds < Number(process.env.FLOOR ?? 0)) process.exitCode = 1;
  } finally {
    center?.kill('SIGINT');
    shop.disconnect();
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The address that the center says it listens on. */
function address(center) {
  return new Promise((done, failed) => {
    let said = '';
    center.stderr.on('data', text => {
      said += text;
      const found = said.match(/127\.0\.0\.1:(\d+)/);
      if (found) done(`http://127.0.0.1:${found[1]}/graphql`);
    });
    center.once('exit', code => failed(new Error(`the center ended with ${code}: ${said}`)));
  });
}

async function count(url) {
  const query = '{ orders(first: 1) { totalCount } }';
  const answer = await fetch(url, { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ query }) });
  const { data, errors } = await answer.json();
  if (errors) throw new Error(JSON.stringify(errors));
  return data.orders.totalCount;
}

/** CPU time and resident memory of the center and its workers, from /proc. */
function usage(pid) {
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' }).split(/\s+/).filter(Boolean);
  const of = { center: 0, workers: 0 };
  let kib = 0;
  for (const process of [String(pid), ...children]) {
    if (!readdirSync('/proc').includes(process)) continue;
    const stat = readFileSync(`/proc/${process}/stat`, 'utf8');
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    of[process === String(pid) ? 'center' : 'workers'] += (Number(fields[11]) + Number(fields[12])) * 10_000;
    // Workers are replaced now and then: those that have ended are in their parent's count of children.
    of.workers += (Number(fields[13]) + Number(fields[14])) * 10_000;
    kib += Number(readFileSync(`/proc/${process}/status`, 'utf8').match(/VmRSS:\s+(\d+)/)?.[1] ?? 0);
  }
  return { of, kib, micros: of.center + of.workers };
}

function row(name, figure) {
  console.log(`  ${name.padEnd(34)} ${figure}`);
}
