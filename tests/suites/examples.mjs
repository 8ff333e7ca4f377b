// The example tabs of the GraphiQL page are valid against the committed schema, and so are their variables.
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { buildSchema, getOperationAST, parse, validate } from 'graphql';
import { getVariableValues } from 'graphql/execution/values.js';
import { expect, finish, here, skip, test } from './suite.mjs';

const file = process.env.SCHEMA ?? join(here, '../../schema/schema.graphql');
if (!existsSync(file)) skip(`no schema at ${file}`);
const schema = buildSchema(readFileSync(file, 'utf8'), { assumeValidSDL: true });
const folder = join(here, '../../graphiql/src/examples');

for (const name of readdirSync(folder).filter((file) => file.endsWith('.graphql'))) {
  await test(name, () => {
    const document = parse(readFileSync(join(folder, name), 'utf8'));
    const errors = validate(schema, document);
    expect(!errors.length, errors.join('\n'));
    const variables = join(folder, name.replace('.graphql', '.variables.json'));
    const given = existsSync(variables) ? JSON.parse(readFileSync(variables, 'utf8')) : {};
    const operation = getOperationAST(document);
    const coerced = getVariableValues(schema, operation.variableDefinitions ?? [], given);
    expect(!coerced.errors, (coerced.errors ?? []).join('\n'));
  });
}
finish();
