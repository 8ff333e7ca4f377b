//! Answers that come later: a module that is still at it says `ACCEPTED`, and the center learns how it ended.

use std::sync::Arc;
use std::time::Duration;

use order_center::operation::OperationState;
use order_contract::{EffectStatus, PaymentStatus};
use order_modules::Config;
use serde_json::json;

use crate::center::{Center, Module, TestClock, intent, protocol_source, until};
use crate::world::{databases, order_id, source};

/// How long the module leaves a saga to itself. The tests move its clock; nothing waits for it.
const SWEEP: Duration = Duration::from_secs(3600);

/// A module that does not wait for its services, and whose clock tests move.
async fn impatient(clock: &TestClock, give_up: Duration) -> Module {
    let clock = clock.clock();
    let module = Module::start_with(|config: &mut Config| {
        config.patience = Duration::ZERO;
        config.sweep = SWEEP;
        config.give_up = give_up;
        config.clock = Arc::new(move || clock());
    })
    .await;
    module.import_unpaid(["A1".to_owned()]).await;
    module
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_module_accepted_ends_in_the_center_as_it_ended_there() {
    for world in databases().await {
        for (give_up, ended) in
            [(24 * SWEEP, OperationState::Succeeded), (Duration::from_secs(60), OperationState::Rejected)]
        {
            let clock = TestClock::default();
            let module = impatient(&clock, give_up).await;
            let key = if ended == OperationState::Succeeded { "retail" } else { "other" };
            let center = Center::new(&world.database, [protocol_source(key, &module.proxy.base_url)]);
            center.ingest.poll(&source(key)).await.unwrap();
            let id = order_id(key, "A1");

            // The gateway answers only when it is asked a third time.
            let pay = intent(&id, key, "pay", json!({ "token": "tok_late" }));
            let asked = center.operations.perform(pay.clone()).await.unwrap();
            assert_eq!(asked.state, OperationState::Accepted, "{}: {asked:?}", world.name);
            assert_eq!(asked.effects, [], "nothing is promised before it is done");
            assert_eq!(module.order("A1").await.payment_status, PaymentStatus::Unpaid);

            let _settling = center.run_operations();
            for hours in 1..=3 {
                clock.set(hours * 3700);
                module.inner.sweep_once().await.unwrap();
            }
            until("the center learns the end", || async {
                center.operations.find(&asked.id).await.unwrap().unwrap().state == ended
            })
            .await;
            let settled = center.operations.find(&asked.id).await.unwrap().unwrap();
            let order = module.order("A1").await;
            match ended {
                OperationState::Succeeded => {
                    let effects = &settled.effects;
                    assert!(effects.iter().all(|effect| effect.status == EffectStatus::Done), "{effects:?}");
                    let taken = effects.iter().filter(|effect| {
                        effect.reference.as_deref().is_some_and(|reference| reference.starts_with("payment/A1/"))
                    });
                    assert_eq!(taken.count(), 1, "{}: paid once: {effects:?}", world.name);
                    assert_eq!(order.payment_status, PaymentStatus::Paid);
                }
                _ => {
                    assert_eq!(settled.error.as_ref().unwrap().code, "SERVICE_UNAVAILABLE", "{settled:?}");
                    assert_eq!(settled.effects, [], "a refused ask leaves no trace");
                    assert_eq!((order.payment_status, order.payments.len()), (PaymentStatus::Unpaid, 0));
                }
            }
            until("the index has the order as its owner has it", || async {
                center.ingest.poll(&source(key)).await.unwrap();
                center.held(&id).await.as_ref() == Some(&order)
            })
            .await;
            // The same key answers the same, now and later.
            assert_eq!(center.operations.perform(pay).await.unwrap(), settled);
        }
    }
}
