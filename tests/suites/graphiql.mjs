// Opens the GraphiQL page in headless Chromium as a person would, runs the first example tab and looks at the answer.
// The page must work offline (no request leaves its origin) and its content security policy must never be hit.
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { chromium } from 'playwright-core';
import { Skip, adminKey, endpoint, finish, here, skip, test } from './suite.mjs';

const executablePath = process.env.CHROMIUM ?? '/usr/bin/chromium';
if (!existsSync(executablePath)) skip(`no Chromium at ${executablePath} (set CHROMIUM)`);

const screenshot = process.env.SCREENSHOT ?? join(here, '.cache', 'graphiql.png');
mkdirSync(dirname(screenshot), { recursive: true });
const profile = mkdtempSync(join(tmpdir(), 'graphiql-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath,
  headless: true,
  viewport: { width: 1440, height: 900 },
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync',
  ],
});
const foreign = [];
const complaints = [];
try {
  const page = context.pages()[0] ?? (await context.newPage());
  const origin = new URL(endpoint).origin;
  page.on('request', (request) => {
    const url = request.url();
    if (/^(https?|wss?):/.test(url) && new URL(url).host !== new URL(origin).host) foreign.push(url);
  });
  page.on('console', (message) => {
    if (message.type() === 'error' || /content security policy/i.test(message.text())) complaints.push(message.text());
  });
  page.on('pageerror', (error) => complaints.push(String(error)));
  await page.addInitScript((key) => {
    if (key) sessionStorage.setItem('order-center-key', key);
    globalThis.violations = [];
    addEventListener('securitypolicyviolation', ({ violatedDirective, blockedURI }) =>
      globalThis.violations.push(`${violatedDirective} ${blockedURI}`),
    );
  }, adminKey);

  const execute = page.getByRole('button', { name: /Execute query|Stop query/ });
  const response = page.locator('.graphiql-response, .result-window').first();
  const answer = async () => {
    const text = await response.innerText();
    return text.replaceAll('\u00a0', ' ');
  };
  const until = async (what, condition) => {
    const deadline = Date.now() + 20_000;
    for (;;) {
      if (await condition()) return;
      if (Date.now() > deadline) throw new Error(`waited 20 s for ${what}; the answer pane reads: ${await answer()}`);
      await page.waitForTimeout(50);
    }
  };

  const loaded = await test('the page loads, with its editors and the example tabs', async () => {
    await page.goto(endpoint, { waitUntil: 'load' });
    await execute.waitFor({ timeout: 30_000 });
    await page.locator('.graphiql-query-editor .view-line, .graphiql-query-editor .CodeMirror-line').first().waitFor();
    const tabs = await page.locator('.graphiql-tab').count();
    if (tabs < 5) throw new Error(`${tabs} example tabs`);
  });
  if (!loaded) {
    for (const complaint of complaints) console.log(`        the console says: ${complaint}`);
    await context.close();
    rmSync(profile, { force: true, recursive: true });
    finish();
  }
  await test('the first example answers with an order', async () => {
    await execute.click();
    await until('an order', async () => /"number":\s*"[^"]+"/.test(await answer()));
    await page.waitForTimeout(300); // the editor paints after the text is there; only the picture needs it
    await page.screenshot({ path: screenshot });
  });
  await test('the documentation pane shows the schema', async () => {
    const docs = page.locator('.graphiql-doc-explorer');
    if (!(await docs.isVisible())) await page.getByRole('button', { name: /Show Documentation Explorer/ }).click();
    await page.locator('.graphiql-doc-explorer-section, .graphiql-doc-explorer a').first().waitFor({ timeout: 20_000 });
    await page.getByText('Subscription', { exact: false }).first().waitFor();
  });
  await test('a subscription connects over WebSocket', async () => {
    const frames = [];
    page.once('websocket', (socket) => {
      socket.on('framesent', ({ payload }) => frames.push(`> ${payload}`));
      socket.on('framereceived', ({ payload }) => frames.push(`< ${payload}`));
    });
    const opened = page.waitForEvent('websocket', { timeout: 20_000 });
    opened.catch(() => {}); // awaited below, unless a step before it fails
    await page.locator('.graphiql-tab').filter({ hasText: 'OrderChanged' }).first().click();
    // GraphiQL parses a tab a moment after it is shown, and remembers what it found.
    await page.waitForFunction(() => {
      const { tabs, activeTabIndex } = JSON.parse(localStorage.getItem('graphiql:tabState') ?? '{"tabs":[]}');
      return tabs[activeTabIndex]?.operationName === 'OrderChanged';
    });
    await page.getByRole('button', { name: /Execute query/ }).click();
    await opened;
    await until('connection_ack', async () => frames.some((frame) => frame.includes('connection_ack')));
    await until('the subscription', async () => frames.some((frame) => /^>.*"subscribe"/.test(frame)));
    const stop = page.getByRole('button', { name: /Stop query/ });
    if (await stop.isVisible()) await stop.click();
    const refused = frames.find((frame) => frame.startsWith('<') && frame.includes('"type":"error"'));
    if (refused) throw new Error(refused);
  });
  await test('no content security policy violation, no error in the console', async () => {
    const found = [...complaints, ...(await page.evaluate(() => globalThis.violations))];
    if (found.length) throw new Error(found.join('\n'));
  });
  await test('nothing is fetched from elsewhere', async () => {
    if ((await page.content()).includes('integrity=')) throw new Skip('the server was built without npm');
    if (foreign.length) throw new Error(foreign.join('\n'));
  });
} finally {
  await context.close();
  rmSync(profile, { force: true, recursive: true });
}
finish();
