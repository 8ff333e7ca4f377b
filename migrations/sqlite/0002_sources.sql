-- Sources registered while the center runs. Those of the configuration file are not here: a key is in one place only.
create table sources (
    key         text primary key,
    title       text not null,
    adapter     text not null,    -- protocol, or NAME@VERSION of adapter_packages
    url         text not null,
    settings    text not null,    -- JSON object
    secrets     text not null,    -- JSON object: name -> env:NAME | file:PATH | sealed:…; never a secret in clear
    version     bigint not null,  -- grows with every change of the row
    created_at  bigint not null,
    updated_at  bigint not null,
    removed_at  bigint            -- its orders stay, and its key can be registered again
);

-- Grows with every change of sources and adapter_packages, so that nodes see by one number that there is news.
create table catalog_head (
    id        bigint primary key,
    revision  bigint not null
);
insert into catalog_head (id, revision) values (0, 0);

-- Adapter packages. A version never changes once it is here; several stand side by side.
create table adapter_packages (
    name        text not null,
    version     text not null,
    title       text not null,
    sha256      text not null,    -- of all paths and texts: the content's address
    files       text not null,    -- JSON object: path -> text
    created_at  bigint not null,
    created_by  text not null,
    primary key (name, version)
);

-- Who changed what about a source.
create table source_events (
    id      text primary key,  -- begins with the time
    source  text not null,
    at      bigint not null,
    actor   text not null,
    what    text not null,              -- REGISTERED | UPDATED | REMOVED | PAUSED | RESUMED
    detail  text not null
);
create index source_events_source on source_events (source, id);

-- Long work on one source: WAITING -> RUNNING -> SUCCEEDED | FAILED | CANCELED. It stands where position says and is
-- taken up there by any node whose lease it gets.
create table source_runs (
    id            text primary key,  -- begins with the time
    source        text not null,
    kind          text not null,              -- BACKFILL | RECONCILE | REMAP | TRIAL
    state         text not null,
    request       text not null,              -- JSON: what was asked
    position      text,                       -- JSON: where it stands
    report        text,                       -- JSON: what was found and done so far
    error         text,
    attempts      bigint not null default 0, -- without progress
    requested_by  text not null,
    created_at    bigint not null,
    updated_at    bigint not null,
    finished_at   bigint,
    lease_until   bigint not null default 0
);
create index source_runs_source on source_runs (source, id);
create index source_runs_due on source_runs (state, lease_until);

-- The orders that a reconciliation has met, until it ends: what is in the index and was not met is looked up.
create table source_run_seen (
    run_id    text not null,
    order_id  text not null,
    primary key (run_id, order_id)
) without rowid;

-- Health: the results of the newest reads, newest first, a dot for one that went well and an x for one that did not;
-- where the round of re-reading open orders stands, and when it began.
alter table source_sync add column recent text not null default '';
alter table source_sync add column reread_after text;
alter table source_sync add column reread_round_at bigint;
alter table source_sync add column mapped_by text; -- the adapter that stored orders were last mapped with

-- One action at a time on an order of a source that cannot deduplicate.
create table order_turns (
    order_id   text primary key,
    operation  text not null,
    until      bigint not null
);
create index order_turns_operation on order_turns (operation);
