-- The center's tables. Three column types, the same on both databases: bigint, text, bytea.
-- *_at: microseconds since 1970 in UTC. Amounts and quantities: ten-thousandths. Every table of orders is keyed by
-- order_id first and has no foreign key to another order's rows, so that it can be distributed by order_id.
-- Texts of orders compare byte by byte (collation "C"), as SQLite's do: prefixes are ranges of an index.

-- The index: typed columns that are filtered, sorted or grouped, and the whole snapshot as canonical JSON.
create table orders (
    order_id            text collate "C" primary key,
    source              text collate "C" not null,
    source_order_id     text collate "C" not null,
    number              text collate "C" not null,
    kind                text collate "C" not null,
    channel             text collate "C",
    status              text collate "C" not null,
    payment_status      text collate "C" not null,
    fulfillment_status  text collate "C" not null,
    return_status       text collate "C" not null,
    native_state        text collate "C" not null,
    held                bigint not null,
    country             text collate "C",             -- ISO 3166 code, or the source's name where it has none; shipping first
    currency            text collate "C" not null,
    customer_id         text collate "C",
    customer_email      text collate "C",             -- in lower case; the document keeps the original
    customer_name       text collate "C",
    total               bigint not null,
    captured            bigint,
    refunded            bigint,
    line_count          bigint not null,
    violations          bigint not null,
    placed_at           bigint not null,  -- of drafts: updated_at, so that every order has a place in the default order
    updated_at          bigint not null,
    version             bigint not null,  -- of the source
    revision            bigint not null,  -- of this row: grows with every write, so a cached document is keyed by it
    content_hash        bytea not null,
    observed_at         bigint not null,
    via                 text collate "C" not null,
    checks              text not null,    -- JSON array of invariant checks
    document            text not null
);
create index orders_placed on orders (placed_at desc, order_id desc, revision);
create index orders_updated on orders (updated_at desc, order_id desc, revision);
create index orders_total on orders (total desc, order_id desc, revision);
create index orders_source_placed on orders (source, placed_at desc, order_id desc, revision);
create index orders_status_placed on orders (status, placed_at desc, order_id desc, revision);
create index orders_payment_placed on orders (payment_status, placed_at desc, order_id desc, revision);
create index orders_fulfillment_placed on orders (fulfillment_status, placed_at desc, order_id desc, revision);
create index orders_country_placed on orders (country, placed_at desc, order_id desc, revision);
create index orders_customer_placed on orders (customer_id, placed_at desc, order_id desc, revision);
create index orders_email_placed on orders (customer_email, placed_at desc, order_id desc, revision);
create index orders_number on orders (number, placed_at desc, order_id desc, revision);
create index orders_source_updated on orders (source, updated_at desc, order_id desc, revision);

-- What the source sent, verbatim. body is null where it is the document, byte for byte.
create table raw_payloads (
    order_id     text collate "C" primary key,
    version      bigint not null,
    received_at  bigint not null,
    body         bytea
);

create table order_lines (
    order_id   text collate "C" not null,
    position   bigint not null,
    line_id    text collate "C" not null,
    sku        text collate "C",
    name       text collate "C" not null,
    ordered    bigint not null,
    current    bigint not null,
    fulfilled  bigint not null,
    canceled   bigint not null,
    returned   bigint not null,
    unit_price bigint not null,
    discount   bigint not null,
    tax        bigint not null,
    total      bigint not null,
    placed_at  bigint not null,
    primary key (order_id, position)
);
create index order_lines_sku on order_lines (sku, placed_at desc, order_id desc, position);

create table order_payments (
    order_id    text collate "C" not null,
    position    bigint not null,
    payment_id  text collate "C" not null,
    method      text collate "C" not null,
    provider    text collate "C",
    status      text collate "C" not null,
    amount      bigint not null,
    reference   text collate "C",
    created_at  bigint,
    primary key (order_id, position)
);

create table order_refunds (
    order_id    text collate "C" not null,
    position    bigint not null,
    refund_id   text collate "C" not null,
    status      text collate "C" not null,
    amount      bigint not null,
    payment_id  text collate "C",
    created_at  bigint,
    primary key (order_id, position)
);

-- Each unified status an order was seen in, oldest first.
create table order_status_changes (
    order_id            text collate "C" not null,
    revision            bigint not null,
    version             bigint not null,
    observed_at         bigint not null,
    status              text collate "C" not null,
    payment_status      text collate "C" not null,
    fulfillment_status  text collate "C" not null,
    return_status       text collate "C" not null,
    native_state        text collate "C" not null,
    primary key (order_id, revision)
);

-- The change feed. Numbers come from the one row of feed_head, updated as the last statement of each writing
-- transaction: its row lock is held until commit, so numbers become visible in their order and without gaps.
create table feed_head (
    id   bigint primary key,
    seq  bigint not null
);
insert into feed_head (id, seq) values (0, 0);

create table order_changes (
    seq         bigint primary key,
    order_id    text collate "C" not null,
    version     bigint not null,
    kind        text not null,  -- UPSERTED | DELETED
    changed_at  bigint not null
);
create index order_changes_order on order_changes (order_id, seq);

-- How far each source has been read. A pass has a fixed upper bound; page is where it stopped.
create table source_sync (
    source           text primary key,
    high_water       bigint,
    pass_until       bigint,
    page             text,
    paused           bigint not null default 0,
    last_success_at  bigint,
    last_error_at    bigint,
    last_error       text,
    lease_owner      text,
    lease_until      bigint not null default 0
);

-- Webhooks, stored before they are acknowledged. RECEIVED (retried) -> APPLIED | QUARANTINED | FAILED.
create table webhook_inbox (
    source           text not null,
    webhook_id       text not null,
    source_order_id  text,
    body             bytea,           -- the restated order, verbatim; null when the webhook only announces a change
    received_at      bigint not null,
    state            text not null,
    attempts         bigint not null default 0,
    next_at          bigint not null,
    error            text,
    primary key (source, webhook_id)
);
create index webhook_inbox_due on webhook_inbox (source, state, next_at);

-- Inputs that could not be normalized, whole. OPEN -> RESOLVED (replayed, or a newer snapshot came) | DISCARDED.
create table quarantine (
    id               text primary key,
    source           text not null,
    source_order_id  text not null,   -- empty when the input did not even say
    input_hash       text not null,
    via              text not null,
    received_at      bigint not null,
    seen             bigint not null,
    input            bytea not null,
    path             text not null,
    value            text not null,
    rule             text not null,
    state            text not null,
    resolved_at      bigint,
    unique (source, source_order_id, input_hash)
);
create index quarantine_state on quarantine (state, source, source_order_id);

-- The operation ledger. DISPATCHING -> SUCCEEDED | REJECTED | ACCEPTED | UNKNOWN -> (settled) SUCCEEDED | REJECTED.
create table operations (
    id                text primary key,
    principal         text not null,
    idempotency_key   text not null,
    input_hash        text not null,
    source            text not null,
    order_id          text,            -- of CREATE: known when it succeeded
    action            text not null,
    input             text not null,
    expected_version  bigint,
    actor             text,
    traceparent       text,
    state             text not null,
    attempts          bigint not null,
    created_at        bigint not null,
    updated_at        bigint not null,
    finished_at       bigint,
    next_at           bigint not null, -- until then its node has it, or settlement leaves it alone
    result            text,            -- JSON: effects, error, version after
    unique (principal, idempotency_key)
);
create index operations_order on operations (order_id, created_at desc, id);
create index operations_due on operations (state, next_at);
create index operations_created on operations (created_at desc, id);

-- API keys: the SHA-256 of a key that was shown once.
create table api_keys (
    id          text primary key,
    name        text not null,
    role        text not null,  -- READER | OPERATOR | ADMIN
    key_hash    text not null unique,
    created_at  bigint not null,
    revoked_at  bigint
);
