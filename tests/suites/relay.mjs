// Compiles a Relay front end (`relay/`) with relay-compiler against the committed schema.
import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, finish, here, skip, test } from './suite.mjs';

const schema = process.env.SCHEMA ?? join(here, '../../schema/schema.graphql');
if (!existsSync(schema)) skip(`no schema at ${schema}`);

const work = join(here, '.cache/relay');
rmSync(work, { force: true, recursive: true });
mkdirSync(join(work, 'artifacts'), { recursive: true });
copyFileSync(schema, join(work, 'schema.graphql'));

await test('relay-compiler compiles @connection, @refetchable, node and a subscription', () => {
  const compiler = join(here, 'node_modules/relay-compiler/cli.js');
  const cwd = join(here, 'relay');
  const run = spawnSync(process.execPath, [compiler, 'relay.config.json'], { cwd, encoding: 'utf8' });
  const said = `${run.stdout}\n${run.stderr}`.replace(/\u001b\[\d*m/g, '');
  expect(run.status === 0, said);
  expect(existsSync(join(work, 'artifacts/ordersPageQuery.graphql.ts')), said);
});
finish();
