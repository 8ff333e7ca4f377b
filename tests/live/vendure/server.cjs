// Vendure with PostgreSQL and the payment method for tests that it brings: no admin pages, no assets, no mail.
const { bootstrap, DefaultLogger, dummyPaymentHandler, LogLevel } = require('@vendure/core');

const { PORT, DATABASE_HOST, DATABASE_PORT, DATABASE_USER, DATABASE_NAME, ADMIN_PASSWORD } = process.env;

bootstrap({
  apiOptions: { hostname: '127.0.0.1', port: Number(PORT), adminApiPath: 'admin-api', shopApiPath: 'shop-api' },
  authOptions: {
    tokenMethod: ['bearer', 'api-key'],
    superadminCredentials: { identifier: 'superadmin', password: ADMIN_PASSWORD },
    cookieOptions: { secret: ADMIN_PASSWORD },
    requireVerification: false,
  },
  dbConnectionOptions: {
    type: 'postgres', host: DATABASE_HOST, port: Number(DATABASE_PORT), username: DATABASE_USER, database: DATABASE_NAME,
    synchronize: true, logging: false,
  },
  paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
  logger: new DefaultLogger({ level: LogLevel.Warn }),
  plugins: [],
}).catch(error => { console.error(error); process.exit(1); });
