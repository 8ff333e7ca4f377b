//! Sagas: one ask as a chain of durable moves.
//!
//! It owns the way of a move from its plan to its end: the plan is stored and the order held, the services do their
//! part in order, the order takes its new state; or one of them refuses, and all of it is taken back in reverse. It
//! refuses to let an order be moved by two at once, and to end before every service has answered. Whoever dies on the
//! way leaves a saga that another takes up: every effect has a key, so doing it again does nothing.

use std::time::Duration;

use chrono::{DateTime, Utc};
use order_contract::process::Trigger;
use order_contract::{Effect, EffectStatus, OrderSnapshot};
use serde::{Deserialize, Serialize};
use serde_json::Map;
use uuid::Uuid;

use crate::module::{Answer, Inner, ModuleError, answer, time};
use crate::process::{Ask, Move, PlannedEffect, Refusal};
use crate::service::{Entry, Facts, Fault, Receipt, Service, ServicePort};
use crate::store::{Operation, StoreError, Write};

/// The most moves of one saga.
const MOVES_MAX: u32 = 8;
/// When the module tries again to do what an order does by itself and a service refused.
const AGAIN: Duration = Duration::from_secs(60);

/// Where work may be broken off as a crash would: around everything that is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// The saga is stored, nothing is done yet.
    Begun,
    /// A service is about to be asked.
    BeforeEffect,
    /// A service has answered.
    AfterEffect,
    /// It was decided to take everything back.
    TurnedBack,
    /// Some of it is taken back.
    Reversed,
    /// A move is about to be stored as done.
    BeforeLanding,
    /// A move is stored as done.
    Landed,
}

/// A saga as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Saga {
    pub(crate) id: String,
    /// The idempotency key that waits for an answer, with the digest of what was asked.
    pub(crate) key: Option<(String, Vec<u8>)>,
    pub(crate) process_version: u32,
    /// When it was begun, in microseconds.
    began_at: i64,
    /// How many moves have ended.
    landed: u32,
    /// The receipt of those.
    effects: Vec<Effect>,
    /// The move under way.
    now: Move,
    /// Why everything is taken back.
    turned: Option<Refusal>,
}

/// How far work on a saga came.
pub(crate) enum Driven {
    /// It has ended.
    Ended(Answer),
    /// A service does not answer: someone will go on later.
    Left,
}

/// What one move led to.
enum Advanced {
    Ended(Answer),
    Next(Box<Saga>),
    /// A service does not answer.
    Silence(Box<Saga>),
}

enum Forward {
    Done(Vec<Result<Receipt, String>>),
    Refused(Refusal, usize),
    /// A service does not answer, about an effect that is not taken back or one that is.
    Silence {
        is_final: bool,
    },
}

impl Saga {
    pub(crate) fn new(key: Option<(String, Vec<u8>)>, process_version: u32, stamp: i64, planned: Move) -> Self {
        let id = Uuid::now_v7().simple().to_string();
        let (landed, effects, turned) = (0, Vec::new(), None);
        Self { id, key, process_version, began_at: stamp, landed, effects, now: planned, turned }
    }

    pub(crate) fn order_id(&self) -> &str {
        self.now.order.source_order_id.as_str()
    }

    /// What the services are asked, each under its key: order, event of the timeline, saga and position.
    fn entries(&self) -> impl DoubleEndedIterator<Item = (usize, &PlannedEffect, Entry)> {
        let order = self.order_id();
        let event = self.now.order.events.last().map_or("e0", |e| e.id.as_str());
        let saga = &self.id[self.id.len() - 12..];
        self.now.effects.iter().enumerate().filter_map(move |(index, effect)| {
            let command = effect.command.clone()?;
            Some((
                index,
                effect,
                Entry { key: format!("{order}/{event}/{saga}/{index}"), order: order.into(), command },
            ))
        })
    }

    /// Whether a service has to do something.
    fn asks(&self) -> bool {
        self.now.effects.iter().any(|effect| effect.command.is_some())
    }
}

impl Inner {
    /// Stores a planned move: as done at once where no service has to do anything, as a saga otherwise.
    pub(crate) async fn begin(&self, mut write: Write, saga: Saga) -> Result<Driven, ModuleError> {
        if !saga.asks() {
            return match self.land(write, saga, Vec::new()).await? {
                Advanced::Ended(answer) => Ok(Driven::Ended(answer)),
                Advanced::Next(saga) | Advanced::Silence(saga) => self.drive(*saga).await,
            };
        }
        self.keep(&mut write, &saga).await?;
        write.hold(saga.order_id(), Some(&saga.id)).await?;
        write.commit().await?;
        self.reach(Point::Begun)?;
        self.drive(saga).await
    }

    /// Stores a saga as it stands; whoever asks for its outcome hears that it is under way.
    async fn keep(&self, write: &mut Write, saga: &Saga) -> Result<(), ModuleError> {
        let state = serde_json::to_string(saga).map_err(StoreError::from)?;
        let next_at = self.store.now().saturating_add(micros(self.config.lease));
        write.put_saga(&saga.id, saga.order_id(), &state, next_at).await?;
        self.answer(write, saga.key.clone(), &Answer::accepted()).await
    }

    /// Does what is left of a saga, as long as a client may wait.
    pub(crate) async fn drive(&self, mut saga: Saga) -> Result<Driven, ModuleError> {
        let patience = tokio::time::Instant::now() + self.config.patience;
        let (first, longest) = self.config.pauses;
        let mut pause = first;
        loop {
            saga = match self.advance(saga).await? {
                Advanced::Ended(answer) => return Ok(Driven::Ended(answer)),
                Advanced::Next(next) => {
                    pause = first;
                    *next
                }
                Advanced::Silence(same) => {
                    if tokio::time::Instant::now() + pause >= patience {
                        let again = self.store.now().saturating_add(micros(self.config.again));
                        self.store.leave_saga(&same.id, again).await?;
                        return Ok(Driven::Left);
                    }
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(longest);
                    *same
                }
            };
        }
    }

    /// Goes one move forward, or back.
    async fn advance(&self, saga: Saga) -> Result<Advanced, ModuleError> {
        if let Some(refusal) = saga.turned.clone() {
            return match self.take_back(&saga).await? {
                true => self.abandon(saga, refusal).await,
                false => Ok(Advanced::Silence(Box::new(saga))),
            };
        }
        match self.forward(&saga).await? {
            Forward::Done(answers) => {
                self.reach(Point::BeforeLanding)?;
                let write = self.store.begin(1).await?;
                self.land(write, saga, answers).await
            }
            Forward::Refused(refusal, at) => self.turn_back(saga, refusal, at).await,
            Forward::Silence { is_final } => {
                let age = self.store.now().saturating_sub(saga.began_at);
                if is_final || age <= micros(self.config.give_up) {
                    return Ok(Advanced::Silence(Box::new(saga)));
                }
                let message = "A service did not answer for too long: everything was taken back.";
                self.turn_back(saga, Refusal::conflict("SERVICE_UNAVAILABLE", message), 0).await
            }
        }
    }

    /// Has the services do their part, in order. What was done before is asked again under its key.
    async fn forward(&self, saga: &Saga) -> Result<Forward, ModuleError> {
        let mut answers = Vec::new();
        for (index, effect, entry) in saga.entries() {
            self.reach(Point::BeforeEffect)?;
            match self.services.post(&entry).await {
                Ok(receipt) => answers.push(Ok(receipt)),
                // Nothing takes back what came before it: it is told, and someone must see to it.
                Err(Fault::Refused { message, .. }) if effect.is_final => answers.push(Err(message)),
                Err(Fault::Refused { code, message }) => {
                    return Ok(Forward::Refused(Refusal::conflict(&code, message), index));
                }
                Err(Fault::Unknown { service, reason }) => {
                    tracing::debug!(order = saga.order_id(), ?service, reason, "a service did not answer");
                    return Ok(Forward::Silence { is_final: effect.is_final });
                }
            }
            self.reach(Point::AfterEffect)?;
        }
        Ok(Forward::Done(answers))
    }

    /// Decides, durably, that the move under way is taken back.
    async fn turn_back(&self, mut saga: Saga, refusal: Refusal, at: usize) -> Result<Advanced, ModuleError> {
        if saga.landed > 0 {
            // The client's own move stands; what followed by itself is told as having failed.
            if let Some(effect) = saga.now.effects.get(at) {
                let description = format!("{}: {}", effect.description, refusal.error.message);
                let (kind, amount) = (effect.kind, effect.amount);
                saga.effects.push(Effect { kind, status: EffectStatus::Failed, description, reference: None, amount });
            }
        }
        saga.turned = Some(refusal);
        let mut write = self.store.begin(1).await?;
        let stored = write.saga(&saga.id).await?;
        let stored: Option<Saga> = stored.as_deref().map(serde_json::from_str).transpose().map_err(StoreError::from)?;
        match stored {
            // Someone else decided before, or goes on already with what came after.
            Some(other) if other.turned.is_some() || other.landed != saga.landed => Ok(Advanced::Next(Box::new(other))),
            Some(_) => {
                self.keep(&mut write, &saga).await?;
                write.commit().await?;
                self.reach(Point::TurnedBack)?;
                Ok(Advanced::Next(Box::new(saga)))
            }
            None => Err(ModuleError::Busy),
        }
    }

    /// Takes everything back, last first: what never arrived, too, so that it cannot arrive later. False when a
    /// service does not answer.
    async fn take_back(&self, saga: &Saga) -> Result<bool, ModuleError> {
        for (_, _, entry) in saga.entries().rev() {
            match self.services.reverse(entry.command.service(), &entry.key).await {
                Ok(()) => self.reach(Point::Reversed)?,
                Err(fault) => {
                    tracing::debug!(order = saga.order_id(), %fault, "an effect could not be taken back yet");
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    /// Stores a move as done, and what follows by itself as the next one.
    async fn land(
        &self,
        mut write: Write,
        mut saga: Saga,
        mut answers: Vec<Result<Receipt, String>>,
    ) -> Result<Advanced, ModuleError> {
        let stored = write.saga(&saga.id).await?;
        if saga.asks() || saga.landed > 0 {
            match stored.as_deref().map(serde_json::from_str::<Saga>).transpose().map_err(StoreError::from)? {
                Some(stored) if stored.landed == saga.landed && stored.turned.is_none() => {}
                Some(stored) => return Ok(Advanced::Next(Box::new(stored))),
                None => return Err(ModuleError::Busy),
            }
        }
        let process = self.process(saga.process_version)?;
        loop {
            let now = time(write.stamp);
            for reference in pending(&answers) {
                write.watch_effect(reference, saga.order_id(), write.stamp + micros(self.config.again)).await?;
            }
            let order_id = saga.order_id().to_owned();
            let mut moved = process.complete(saga.now.clone(), &answers, now);
            moved.order.times.updated_at = now;
            saga.effects.append(&mut moved.effects);
            saga.landed += 1;
            let next = process.automatic(&moved.order, None, now).filter(|_| saga.landed < MOVES_MAX);
            let next = next.and_then(|action| self.follow(&saga, &moved.order, action, now));
            if let Some(planned) = next {
                saga.now = planned;
                if !saga.asks() {
                    answers.clear();
                    continue;
                }
                write.put(&moved.order, saga.process_version, Some(&saga.id)).await?;
                self.keep(&mut write, &saga).await?;
                self.announce(&mut write, &order_id).await?;
                write.commit().await?;
                self.wake();
                self.reach(Point::Landed)?;
                return Ok(Advanced::Next(Box::new(saga)));
            }
            return self.end(write, saga, moved.order).await.map(Advanced::Ended);
        }
    }

    /// Plans what an order does by itself.
    fn follow(&self, saga: &Saga, order: &OrderSnapshot, action: &str, now: DateTime<Utc>) -> Option<Move> {
        let none = Map::new();
        let ask = Ask { action, input: &none, trigger: Trigger::System, now, actor: None };
        self.process(saga.process_version).ok()?.plan(order, &ask, &Facts::default()).ok()
    }

    /// Stores the order as it is at the end of a saga, and the answer.
    async fn end(&self, mut write: Write, saga: Saga, order: OrderSnapshot) -> Result<Answer, ModuleError> {
        let order_id = saga.order_id().to_owned();
        write.put(&order, saga.process_version, None).await?;
        write.set_timers(&order_id, &self.process(saga.process_version)?.timers(&order)).await?;
        let answer = answer(Ok((order, saga.effects)))?;
        self.answer(&mut write, saga.key, &answer).await?;
        write.end_saga(&saga.id).await?;
        self.announce(&mut write, &order_id).await?;
        write.commit().await?;
        self.wake();
        self.reach(Point::Landed)?;
        Ok(answer)
    }

    /// Ends a move that was taken back: with a refusal if it was the one that was asked for; if it followed by itself,
    /// with what the definition says happens then.
    async fn abandon(&self, mut saga: Saga, refusal: Refusal) -> Result<Advanced, ModuleError> {
        let mut write = self.store.begin(1).await?;
        if write.saga(&saga.id).await?.is_none() {
            return Err(ModuleError::Busy);
        }
        if saga.landed == 0 {
            let answer = answer(Err(refusal))?;
            self.answer(&mut write, saga.key.take(), &answer).await?;
            write.hold(saga.order_id(), None).await?;
            write.end_saga(&saga.id).await?;
            write.commit().await?;
            self.ended.notify_waiters();
            return Ok(Advanced::Ended(answer));
        }
        let order_id = saga.order_id().to_owned();
        let Some(stored) = write.stored(&order_id).await? else { return Err(ModuleError::Busy) };
        let now = time(write.stamp);
        let process = self.process(saga.process_version)?;
        let action = process.automatic(&stored.order, Some(&refusal.error.code), now);
        if let Some(planned) = action.and_then(|action| self.follow(&saga, &stored.order, action, now)) {
            (saga.now, saga.turned) = (planned, None);
            self.keep(&mut write, &saga).await?;
            if !saga.asks() {
                return self.land(write, saga, Vec::new()).await;
            }
            write.commit().await?;
            return Ok(Advanced::Next(Box::new(saga)));
        }
        tracing::warn!(order = order_id, %refusal, action = saga.now.action, "an order could not go on by itself");
        let mut timers = process.timers(&stored.order);
        timers.push((saga.now.action.clone(), now + AGAIN));
        write.put(&stored.order, saga.process_version, None).await?;
        write.set_timers(&order_id, &timers).await?;
        let answer = answer(Ok((stored.order, std::mem::take(&mut saga.effects))))?;
        self.answer(&mut write, saga.key.take(), &answer).await?;
        write.end_saga(&saga.id).await?;
        write.commit().await?;
        self.wake();
        Ok(Advanced::Ended(answer))
    }

    async fn answer(
        &self,
        write: &mut Write,
        key: Option<(String, Vec<u8>)>,
        answer: &Answer,
    ) -> Result<(), ModuleError> {
        let Some((key, input_hash)) = key else { return Ok(()) };
        let operation = Operation { input_hash, status: answer.status, reply: answer.reply.clone() };
        Ok(write.remember(&key, &operation).await?)
    }

    /// Asks a service about an effect that it had not finished, and tells the order when it has.
    pub(crate) async fn follow_up(&self, reference: &str, order_id: &str) -> Result<(), ModuleError> {
        let later = self.store.now().saturating_add(micros(self.config.again));
        let Some((service, key)) = reference.split_once('/') else { return Ok(()) };
        let service: Service = serde_json::from_value(service.into()).map_err(StoreError::from)?;
        let receipt = match self.services.entry(service, key).await {
            Ok(receipt) if receipt.status != EffectStatus::Pending => receipt,
            Ok(_) | Err(_) => return Ok(self.store.postpone_effect(reference, later).await?),
        };
        let mut write = self.store.begin(1).await?;
        let Some(stored) = write.stored(order_id).await?.filter(|stored| stored.saga.is_none()) else {
            drop(write);
            return Ok(self.store.postpone_effect(reference, later).await?);
        };
        if !write.forget_effect(reference).await? {
            return Ok(());
        }
        let now = time(write.stamp);
        let process = self.process(stored.process_version)?;
        let Some(action) = process.automatic(&stored.order, Some("EFFECT_SETTLED"), now) else {
            return Ok(write.commit().await?);
        };
        let input = Map::from_iter([
            ("reference".to_owned(), reference.into()),
            ("done".to_owned(), (receipt.status == EffectStatus::Done).into()),
        ]);
        let ask = Ask { action, input: &input, trigger: Trigger::System, now, actor: None };
        match process.plan(&stored.order, &ask, &Facts::default()) {
            Ok(planned) => {
                self.begin(write, Saga::new(None, stored.process_version, now.timestamp_micros(), planned)).await?;
            }
            Err(refusal) => {
                tracing::warn!(order = order_id, %refusal, "a settled effect could not be written into its order");
                write.commit().await?;
            }
        }
        Ok(())
    }

    fn reach(&self, point: Point) -> Result<(), ModuleError> {
        match &self.config.interrupt {
            Some(interrupt) if interrupt(point) => Err(ModuleError::Interrupted),
            _ => Ok(()),
        }
    }
}

fn pending(answers: &[Result<Receipt, String>]) -> impl Iterator<Item = &str> {
    let receipts = answers.iter().flatten().filter(|receipt| receipt.status == EffectStatus::Pending);
    receipts.map(|receipt| receipt.reference.as_str())
}

pub(crate) fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
