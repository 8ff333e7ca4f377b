-- One order: the canonical document as it is sent, and the columns that are searched. Times are microseconds UTC,
-- amounts and quantities ten-thousandths.
CREATE TABLE orders (
    id TEXT PRIMARY KEY NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL,
    updated_at INTEGER NOT NULL,
    expires_at INTEGER,
    document TEXT NOT NULL
) STRICT;
CREATE INDEX orders_changed ON orders (updated_at, id);
CREATE INDEX orders_expiring ON orders (expires_at) WHERE expires_at IS NOT NULL;

-- The numbers of new orders.
CREATE TABLE order_numbers (last INTEGER NOT NULL) STRICT;
INSERT INTO order_numbers VALUES (0);

CREATE TABLE products (
    sku TEXT PRIMARY KEY NOT NULL,
    name TEXT NOT NULL,
    price INTEGER NOT NULL CHECK (price >= 0)
) STRICT, WITHOUT ROWID;

-- What is in the house, how much of it is promised to orders, and what came back damaged: the sums of the movements.
CREATE TABLE stock (
    sku TEXT PRIMARY KEY NOT NULL REFERENCES products (sku),
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL CHECK (reserved >= 0),
    damaged INTEGER NOT NULL CHECK (damaged >= 0),
    CHECK (on_hand >= reserved)
) STRICT, WITHOUT ROWID;

-- Every movement has a reason; all but receipts from suppliers have an order and the event of its timeline.
CREATE TABLE stock_movements (
    id INTEGER PRIMARY KEY,
    sku TEXT NOT NULL,
    reason TEXT NOT NULL,
    order_id TEXT,
    event TEXT,
    on_hand INTEGER NOT NULL,
    reserved INTEGER NOT NULL,
    damaged INTEGER NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX stock_movements_of_order ON stock_movements (order_id);

-- Money taken (positive) and given back (negative).
CREATE TABLE transactions (
    order_id TEXT NOT NULL,
    id TEXT NOT NULL,
    payment TEXT NOT NULL,
    type TEXT NOT NULL,
    event TEXT NOT NULL,
    amount INTEGER NOT NULL,
    at INTEGER NOT NULL,
    PRIMARY KEY (order_id, id)
) STRICT, WITHOUT ROWID;

-- What was asked under an idempotency key, and the answer.
CREATE TABLE operations (
    key TEXT PRIMARY KEY NOT NULL,
    input_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    reply TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX operations_by_age ON operations (at);

-- Orders whose newest state was not delivered yet. A further change replaces the event: its id stands for one state.
CREATE TABLE outbox (
    order_id TEXT PRIMARY KEY NOT NULL,
    event_id TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    due_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX outbox_due ON outbox (due_at);
