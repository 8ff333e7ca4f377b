-- Definitions change; an order stays with the version it began under, unless it is migrated. The orders that exist
-- already go on under version 2 of retail, which has all the states that they can be in.
CREATE TABLE processes (
    version INTEGER PRIMARY KEY NOT NULL,
    definition TEXT NOT NULL
) STRICT;

DROP INDEX orders_expiring;
ALTER TABLE orders ADD COLUMN process_version INTEGER NOT NULL DEFAULT 2;
-- The saga under way; nobody else may move the order meanwhile.
ALTER TABLE orders ADD COLUMN saga TEXT;

-- What was begun and has not ended: the move, how it goes on and what it owes an answer to.
CREATE TABLE sagas (
    id TEXT PRIMARY KEY NOT NULL,
    order_id TEXT NOT NULL UNIQUE,
    state TEXT NOT NULL,
    began_at INTEGER NOT NULL,
    -- When someone else may take it up.
    next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sagas_due ON sagas (next_at);

-- What time will do to orders.
CREATE TABLE timers (
    order_id TEXT NOT NULL,
    action TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    PRIMARY KEY (order_id, action)
) STRICT, WITHOUT ROWID;
CREATE INDEX timers_due ON timers (due_at);
INSERT INTO timers (order_id, action, due_at)
SELECT id, 'expire', expires_at FROM orders WHERE expires_at IS NOT NULL AND state = 'PENDING_PAYMENT';
ALTER TABLE orders DROP COLUMN expires_at;

-- Effects that a service has taken and not finished: refunds on their way.
CREATE TABLE pending_effects (
    reference TEXT PRIMARY KEY NOT NULL,
    order_id TEXT NOT NULL,
    next_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_effects_due ON pending_effects (next_at);

-- The last time of change that was handed out. It is taken under the write lock, so times and commits have one order,
-- in however many processes.
CREATE TABLE clock (last INTEGER NOT NULL) STRICT;
INSERT INTO clock SELECT COALESCE(MAX(updated_at), 0) FROM orders;
