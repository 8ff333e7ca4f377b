// Medusa with PostgreSQL and the payment, tax and fulfillment providers that it brings: no admin pages.
const { defineConfig } = require('@medusajs/framework/utils');

const secret = process.env.ADMIN_PASSWORD;
const origin = `http://127.0.0.1:${process.env.PORT}`;

module.exports = defineConfig({
  admin: { disable: true },
  projectConfig: {
    databaseUrl: process.env.DATABASE_URL,
    databaseDriverOptions: { connection: { ssl: false } },
    http: { storeCors: origin, adminCors: origin, authCors: origin, jwtSecret: secret, cookieSecret: secret },
  },
});
