-- The double-entry ledger of all services. A quantity goes from `credit` to `debit`; accounts that begin with `@` are
-- outside the house. Quantities are ten-thousandths, times microseconds UTC.
CREATE TABLE ledger_entries (
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    order_id TEXT,
    reason TEXT NOT NULL,
    at INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('POSTED', 'REVERSED')),
    reversed_at INTEGER,
    receipt TEXT NOT NULL,
    -- How often the key is still asked in vain: the test tokens of the payment gateway.
    asks INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (service, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX ledger_entries_of_order ON ledger_entries (service, order_id) WHERE order_id IS NOT NULL;

CREATE TABLE ledger_postings (
    id INTEGER PRIMARY KEY,
    service TEXT NOT NULL,
    key TEXT NOT NULL,
    item TEXT NOT NULL,
    debit TEXT NOT NULL,
    credit TEXT NOT NULL,
    quantity INTEGER NOT NULL CHECK (quantity > 0),
    -- Whether the movement may leave a house account below zero, now or when it is reversed.
    overdraw INTEGER NOT NULL DEFAULT 0,
    FOREIGN KEY (service, key) REFERENCES ledger_entries (service, key)
) STRICT;
CREATE INDEX ledger_postings_of_entry ON ledger_postings (service, key);

-- The sums of the postings; an empty account has no row.
CREATE TABLE ledger_balances (
    service TEXT NOT NULL,
    account TEXT NOT NULL,
    item TEXT NOT NULL,
    amount INTEGER NOT NULL CHECK (amount <> 0),
    PRIMARY KEY (service, account, item)
) STRICT, WITHOUT ROWID;

ALTER TABLE products ADD COLUMN details TEXT NOT NULL DEFAULT '{}';

-- Until when what is in a hold account of the warehouse is promised.
CREATE TABLE warehouse_deadlines (
    account TEXT PRIMARY KEY NOT NULL,
    order_id TEXT NOT NULL,
    until INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Licence codes: free without an order.
CREATE TABLE warehouse_codes (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    code TEXT NOT NULL UNIQUE,
    order_id TEXT,
    claimed INTEGER NOT NULL DEFAULT 0 CHECK (claimed IN (0, 1) AND (order_id IS NOT NULL OR claimed = 0))
) STRICT;
CREATE INDEX warehouse_codes_by_owner ON warehouse_codes (sku, order_id, claimed);

CREATE TABLE promotion_coupons (
    code TEXT PRIMARY KEY NOT NULL,
    rule TEXT NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE risk_limits (
    sku TEXT NOT NULL,
    period_seconds INTEGER NOT NULL CHECK (period_seconds > 0),
    most INTEGER NOT NULL,
    PRIMARY KEY (sku, period_seconds)
) STRICT, WITHOUT ROWID;

CREATE TABLE service_settings (
    service TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (service, name)
) STRICT, WITHOUT ROWID;

-- The books before this: every movement becomes an entry of its own, keyed by what it was. Order ids are escaped in
-- account names.
CREATE TEMP TABLE moved AS
SELECT 'warehouse' AS service, 'stock/' || m.id AS key, m.order_id, m.reason, m.at, m.sku AS item,
       CASE m.reason WHEN 'RECEIPT' THEN '@supplier' WHEN 'RESERVE' THEN 'available'
                     WHEN 'RELEASE' THEN 'reserved/' || o.name WHEN 'SHIP' THEN 'reserved/' || o.name
                     ELSE 'shipped/' || o.name END AS credit,
       CASE m.reason WHEN 'RESERVE' THEN 'reserved/' || o.name WHEN 'SHIP' THEN 'shipped/' || o.name
                     WHEN 'DAMAGED' THEN 'damaged' ELSE 'available' END AS debit,
       max(abs(m.on_hand), abs(m.reserved), abs(m.damaged)) AS quantity
FROM stock_movements AS m
LEFT JOIN (SELECT DISTINCT order_id, replace(replace(order_id, '%', '%25'), '/', '%2F') AS name FROM stock_movements) AS o
  ON o.order_id = m.order_id
UNION ALL
SELECT 'payment', 'transaction/' || t.order_id || '/' || t.id, t.order_id, t.type, t.at,
       coalesce((SELECT document->>'$.currency' FROM orders WHERE orders.id = t.order_id), 'GBP'),
       CASE WHEN t.amount > 0 THEN '@card/' ELSE 'merchant/' END
           || replace(replace(t.order_id, '%', '%25'), '/', '%2F')
           || CASE WHEN t.amount > 0 THEN '/' || replace(replace(t.payment, '%', '%25'), '/', '%2F') ELSE '' END,
       CASE WHEN t.amount > 0 THEN 'merchant/' ELSE '@card/' END
           || replace(replace(t.order_id, '%', '%25'), '/', '%2F')
           || CASE WHEN t.amount > 0 THEN '' ELSE '/' || replace(replace(t.payment, '%', '%25'), '/', '%2F') END,
       abs(t.amount)
FROM transactions AS t;
DELETE FROM moved WHERE quantity = 0;

INSERT INTO ledger_entries (service, key, order_id, reason, at, state, receipt)
SELECT service, key, order_id, reason, at, 'POSTED',
       json_object('reference', service || '/' || key, 'status', 'DONE')
FROM moved;
INSERT INTO ledger_postings (service, key, item, debit, credit, quantity)
SELECT service, key, item, debit, credit, quantity FROM moved;
INSERT INTO ledger_balances (service, account, item, amount)
SELECT service, account, item, SUM(amount)
FROM (SELECT service, debit AS account, item, quantity AS amount FROM moved
      UNION ALL SELECT service, credit, item, -quantity FROM moved)
GROUP BY service, account, item HAVING SUM(amount) <> 0;

DROP TABLE temp.moved;
DROP TABLE stock;
DROP TABLE stock_movements;
DROP TABLE transactions;
