// What is checked of every platform in the same way, as a source named `shop`.
import { expect, test } from '../suites/suite.mjs';
import { same, until } from './center.mjs';

/** What webhooks of the source are proven with. */
export const WEBHOOK_SECRET = 'local-test-only';

/** Waits until the center's order is as `look` wants it. */
export const when = (center, what, id, look) =>
  until(what, async () => { const order = await center.order('shop', id); return order && look(order) && order; }, 60);

/** Registers the source; with a filter that `spoil` misspells in the manifest, and with a wrong key, it is refused. */
export async function register(center, input, name, spoil, wrongKey) {
  await test('a source whose filter is misspelt is not registered', async () => {
    const [error] = await center.register({ ...input, key: 'spoiled', adapter: await center.upload(name, spoil) });
    expect(/filter/.test(error?.message ?? ''), `not refused: ${JSON.stringify(error)}`);
  });
  await test('a wrong key is refused with what is wrong', async () => {
    const [error] = await center.register({ ...input, key: 'locked', secrets: [{ name: 'api_key', value: wrongKey }] });
    expect(/credential|refus|unauthor/i.test(error?.message ?? ''), `not refused: ${JSON.stringify(error)}`);
  });
  await test('it is registered', async () => same(await center.register(input), [], 'errors'));
}

/** New orders arrive, backfill and reconciliation find nothing amiss, and a webhook needs its secret. `tell` makes its body. */
export async function follow(center, shop, authorized, tell) {
  await test('a new order arrives by polling', async () => {
    await when(center, 'it is there', await shop.order(), order => order.status === 'PROCESSING');
  });
  await test('backfill and reconciliation find nothing amiss', async () => {
    const { read } = await center.run('backfill', 'shop', 300);
    expect(read >= (await shop.all()).length, `read ${read}`);
    await agrees(center);
  });
  await test('a webhook is believed only with its secret', async () => {
    const id = await shop.order(authorized);
    const send = token => fetch(`${center.base}/webhooks/shop`, {
      method: 'POST', headers: { 'content-type': 'application/json', 'x-webhook-token': token }, body: JSON.stringify(tell(id)),
    });
    same((await send('wrong')).status, 401, 'status of a forged one');
    same(Math.floor((await send(WEBHOOK_SECRET)).status / 100), 2, 'status of a true one');
    await when(center, 'it is there', id, order => order.paymentStatus === 'AUTHORIZED');
  });
}

/** Throws unless reconciliation finds that the index is what the platform has. */
export async function agrees(center) {
  const report = await center.run('reconcile', 'shop', 300);
  same([report.missing, report.stale, report.deleted, report.quarantined], [0, 0, 0, 0], 'drift');
}

/** The last check, after all trouble. */
export async function settled(center, platform) {
  await test(`after all of it the index agrees with ${platform}`, async () => {
    await until('reading goes on', () => center.run('reconcile', 'shop', 300).catch(() => null));
    await agrees(center);
  });
}

/** Whether an action is offered for the order as its owner has it now. */
export const offered = async (center, id, name) =>
  (await center.refresh('shop', id)).availableActions.find(action => action.name === name)?.enabled;
