// What the suites share: where the server is, the key, and one way to count. The last line a suite prints is
// `RESULT passed failed skipped`, which run.sh adds up.
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';

export const here = dirname(fileURLToPath(import.meta.url));
export const endpoint = process.argv[2] ?? process.env.ORDER_CENTER_URL ?? 'http://127.0.0.1:4000/graphql';
export const socket = endpoint.replace(/^http/, 'ws');
export const adminKey = process.env.ADMIN_KEY ?? '';
export const authorization = adminKey ? { authorization: `Bearer ${adminKey}` } : {};

const counts = { passed: 0, failed: 0, skipped: 0 };

/** Runs one check and tells whether it passed; what it throws is why it did not. `Skip`: it cannot be run here. */
export async function test(name, check) {
  try {
    await check();
    counts.passed += 1;
    if (process.env.VERBOSE) console.log(`  ok    ${name}`);
    return true;
  } catch (error) {
    if (error instanceof Skip) {
      note(name, error.message);
      return false;
    }
    counts.failed += 1;
    console.log(`  FAIL  ${name}\n        ${String(error?.message ?? error?.reason ?? error).trim().replaceAll('\n', '\n        ')}`);
    return false;
  }
}

export class Skip extends Error {}

function note(name, reason) {
  counts.skipped += 1;
  console.log(`  skip  ${name}: ${reason}`);
}

/** Ends a suite that cannot be run at all. */
export function skip(reason) {
  note('the whole suite', reason);
  finish();
}

/** Prints the counts and ends the process. */
export function finish() {
  console.log(`RESULT ${counts.passed} ${counts.failed} ${counts.skipped}`);
  process.exit(counts.failed ? 1 : 0);
}

/** POSTs a GraphQL request and returns `{ status, headers, body, text }`; `body` is undefined where it is not JSON. */
export async function post(body, headers = {}) {
  return ask(endpoint, {
    method: 'POST',
    headers: { 'content-type': 'application/json', accept: 'application/json', ...authorization, ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** Sends any request; never throws for an HTTP status. */
export async function ask(url, options = {}) {
  const response = await fetch(url, { redirect: 'manual', signal: AbortSignal.timeout(30_000), ...options });
  const text = await response.text();
  let body;
  try {
    body = JSON.parse(text);
  } catch {
    // not JSON: the caller looks at `text`
  }
  return { status: response.status, headers: response.headers, body, text };
}

/** Throws unless `condition` holds. */
export function expect(condition, message) {
  if (!condition) throw new Error(message);
}
