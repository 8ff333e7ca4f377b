//! A process drawn as text: a Mermaid state diagram of exactly what the engine runs.
//!
//! It owns what every drawing of a process shows: the ways between states, and what leaves an order where it is. It
//! leaves out the module's housekeeping, which no reader of a process asks for.

use order_contract::process::{ProcessDefinition, ProcessTransition, Trigger};

use super::{Process, check};

impl Process {
    /// The process as a Mermaid state diagram. What leaves an order in its state is a note beside it, not a loop.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::from("stateDiagram-v2\n");
        for (from, to, transition) in ways(&self.definition) {
            // No colon: Mermaid 11.12 and before cannot read one in a label.
            let cause = cause(transition).map(|cause| format!(" ({cause})")).unwrap_or_default();
            text.push_str(&format!("    {} --> {to}: {}{cause}\n", from.unwrap_or("[*]"), transition.action));
        }
        for state in &self.definition.states {
            let stays = stays(&self.definition, &state.name);
            if !stays.is_empty() {
                text.push_str(&format!("    note right of {}: {}\n", state.name, stays.join(", ")));
            }
            if state.terminal {
                text.push_str(&format!("    {} --> [*]\n", state.name));
            }
        }
        text
    }
}

/// The ways that lead from one state to another, from none where orders begin, in the order of the definition.
pub(super) fn ways(definition: &ProcessDefinition) -> impl Iterator<Item = (Option<&str>, &str, &ProcessTransition)> {
    check::ways(definition).filter(|(from, to, _)| *from != Some(to))
}

/// The actions that leave an order in a state.
pub(super) fn stays<'a>(definition: &'a ProcessDefinition, state: &str) -> Vec<&'a str> {
    let stays = check::ways(definition).filter(|(from, to, t)| {
        // What the system does in a state and leaves all as it was keeps books; it is no part of the process.
        let housekeeping = t.trigger == Trigger::System && t.from == t.to;
        *from == Some(state) && *to == state && !housekeeping
    });
    stays.map(|(_, _, t)| t.action.as_str()).collect()
}

/// What sets a transition off, if it is not a person: `timer payment_window`, `system OUT_OF_STOCK`.
pub(super) fn cause(transition: &ProcessTransition) -> Option<String> {
    match (transition.trigger, &transition.timer) {
        (Trigger::Manual, _) => None,
        (Trigger::System, _) => Some(format!("system {}", transition.event.as_deref().unwrap_or("at once"))),
        (Trigger::Timer, timer) => timer.as_ref().map(|timer| {
            let since = timer.since.as_ref().map(|since| format!(" since {since}"));
            format!("timer {}{}", timer.after, since.unwrap_or_default())
        }),
    }
}
