//! The checks of a definition before it may run. Each names the first thing that is wrong, and where.

use std::collections::HashSet;

use order_contract::process::{ProcessDefinition, ProcessTransition, Trigger};

use super::{Recipe, SettingError, Step, Vocabulary};

/// Why a definition cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DefinitionError {
    /// It is not the JSON of a definition.
    #[error("the process definition cannot be read")]
    Read(#[source] serde_json::Error),
    /// A setting has no usable value.
    #[error(transparent)]
    Setting(SettingError),
    /// A state is named twice.
    #[error("the state {0} is defined twice")]
    StateTwice(String),
    /// A transition names a state that is not defined.
    #[error("the action {action} names the state {state}, which is not defined")]
    NoSuchState {
        /// The action.
        action: String,
        /// The state.
        state: String,
    },
    /// A transition names a guard that the vocabulary has not.
    #[error("the action {action} names the guard {guard}, which does not exist")]
    NoSuchGuard {
        /// The action.
        action: String,
        /// The guard.
        guard: String,
    },
    /// A transition names a step that the vocabulary has not.
    #[error("the action {action} names the step {step}, which does not exist")]
    NoSuchStep {
        /// The action.
        action: String,
        /// The step.
        step: String,
    },
    /// Two transitions of one action leave the same state, or two would set themselves off there.
    #[error(
        "the action {action} is defined twice for {}: which one happens would be chance",
        if .state.is_empty() { "creation".into() } else { format!("the state {}", .state) }
    )]
    Ambiguous {
        /// The action.
        action: String,
        /// The state, empty for creation.
        state: String,
    },
    /// A transition leads nowhere.
    #[error("the action {0} leads to no state")]
    NoTarget(String),
    /// A state is not terminal and nothing leaves it.
    #[error("the state {0} is not terminal and nothing leads out of it")]
    DeadEnd(String),
    /// No way from creation leads to a state.
    #[error("the state {0} cannot be reached")]
    Unreachable(String),
    /// A step moves something, and nothing is named that takes it back.
    #[error(
        "the step {step} of {action} has an effect {} it `final` after all others",
        .expected.map_or("that nothing takes back: make".into(), |e| format!("and no compensation: name {e}, or make"))
    )]
    NoCompensation {
        /// The action.
        action: String,
        /// The step.
        step: String,
        /// What would take it back.
        expected: Option<&'static str>,
    },
    /// A step names something as its compensation that does not take its effect back.
    #[error("{compensation} does not take back the step {step} of {action}; {} does", .expected.unwrap_or("nothing"))]
    WrongCompensation {
        /// The action.
        action: String,
        /// The step.
        step: String,
        /// What is named.
        compensation: String,
        /// What takes it back.
        expected: Option<&'static str>,
    },
    /// A step that may be refused comes after one that is not taken back.
    #[error(
        "the step {step} of {action} comes after the final step {after}: were it refused, that could not be undone"
    )]
    AfterFinal {
        /// The action.
        action: String,
        /// The step.
        step: String,
        /// The final step before it.
        after: String,
    },
    /// A timer leaves an order where it found it, and would do so for ever.
    #[error("the timer {action} does not lead out of the state {state}: it would fire without end")]
    TimerWithoutExit {
        /// The action.
        action: String,
        /// The state.
        state: String,
    },
    /// A timer does not say when, or something says when that is no timer.
    #[error(
        "the action {0} needs a `timer` with a setting of this definition if a timer sets it off, and none otherwise"
    )]
    Timer(String),
    /// A timer counts from a moment that the vocabulary has not.
    #[error("the timer {action} counts from {moment}, which does not exist")]
    NoSuchMoment {
        /// The action.
        action: String,
        /// The moment.
        moment: String,
    },
}

pub(super) fn states(definition: &ProcessDefinition) -> Result<(), DefinitionError> {
    let mut states = HashSet::new();
    if let Some(twice) = definition.states.iter().find(|s| !states.insert(s.name.as_str())) {
        return Err(DefinitionError::StateTwice(twice.name.clone()));
    }
    let mut taken = HashSet::new();
    for transition in &definition.transitions {
        let action = || transition.action.to_string();
        if let Some(state) = transition.from.iter().chain(&transition.to).find(|s| !states.contains(s.as_str())) {
            return Err(DefinitionError::NoSuchState { action: action(), state: state.clone() });
        }
        if transition.to.is_empty() {
            return Err(DefinitionError::NoTarget(action()));
        }
        let sources = transition.from.iter().map(String::as_str).chain(transition.from.is_empty().then_some(""));
        for state in sources {
            // What sets itself off may do so only once per state, whatever it is called.
            let name = match transition.trigger {
                Trigger::Manual => transition.action.as_str(),
                Trigger::System => transition.event.as_deref().unwrap_or(" at once"),
                Trigger::Timer => transition.timer.as_ref().map_or("", |t| t.after.as_str()),
            };
            if !taken.insert((format!("{:?}", transition.trigger), name, state)) {
                return Err(DefinitionError::Ambiguous { action: action(), state: state.into() });
            }
        }
    }
    let leaves = |state: &str| ways(definition).any(|(from, to, _)| from == Some(state) && to != state);
    if let Some(stuck) = definition.states.iter().find(|s| !s.terminal && !leaves(&s.name)) {
        return Err(DefinitionError::DeadEnd(stuck.name.clone()));
    }
    let mut reached: HashSet<&str> = HashSet::new();
    while let Some((_, to, _)) =
        ways(definition).find(|(from, to, _)| from.is_none_or(|f| reached.contains(f)) && !reached.contains(to))
    {
        reached.insert(to);
    }
    let lost = definition.states.iter().find(|s| !reached.contains(s.name.as_str()));
    lost.map_or(Ok(()), |s| Err(DefinitionError::Unreachable(s.name.clone())))
}

/// The single ways of a definition, from none where orders begin. A transition whose targets are its sources leaves
/// the order in its state.
pub(super) fn ways(definition: &ProcessDefinition) -> impl Iterator<Item = (Option<&str>, &str, &ProcessTransition)> {
    definition.transitions.iter().flat_map(|t| {
        let from = t.from.iter().map(|s| Some(s.as_str())).chain(t.from.is_empty().then_some(None));
        from.flat_map(move |from| {
            t.to.iter()
                .map(String::as_str)
                .filter(move |to| t.from != t.to || from == Some(*to))
                .map(move |to| (from, to, t))
        })
    })
}

/// Finds what a transition names.
pub(super) fn recipe(
    definition: &ProcessDefinition,
    transition: &ProcessTransition,
    vocabulary: &Vocabulary,
) -> Result<Recipe, DefinitionError> {
    let action = || transition.action.to_string();
    let own = transition.guards.iter().filter(|g| !vocabulary.refusals.contains(&g.as_str()));
    let guards = own.map(|guard| {
        let found = vocabulary.guards.iter().find(|(name, _)| name == guard).map(|(_, run)| *run);
        found.ok_or_else(|| DefinitionError::NoSuchGuard { action: action(), guard: guard.clone() })
    });
    let guards = guards.collect::<Result<_, _>>()?;
    let moment = timer(definition, transition, vocabulary)?;
    Ok(Recipe { guards, steps: steps(transition, vocabulary)?, moment })
}

fn steps(transition: &ProcessTransition, vocabulary: &Vocabulary) -> Result<Vec<Step>, DefinitionError> {
    let action = || transition.action.to_string();
    let mut last: Option<&str> = None;
    let mut steps = Vec::new();
    for named in &transition.steps {
        let known = vocabulary.steps.iter().find(|step| step.name == named.step);
        let step = *known.ok_or_else(|| DefinitionError::NoSuchStep { action: action(), step: named.step.clone() })?;
        let expected = step.compensation;
        match &named.compensation {
            Some(given) if expected != Some(given.as_str()) => {
                let (step, compensation) = (named.step.clone(), given.clone());
                return Err(DefinitionError::WrongCompensation { action: action(), step, compensation, expected });
            }
            None if !step.moves.is_empty() && !named.is_final => {
                return Err(DefinitionError::NoCompensation { action: action(), step: named.step.clone(), expected });
            }
            _ => {}
        }
        if let (Some(after), true) = (last, !step.moves.is_empty() && !named.is_final) {
            let (step, after) = (named.step.clone(), after.to_owned());
            return Err(DefinitionError::AfterFinal { action: action(), step, after });
        }
        if named.is_final {
            last = Some(&named.step);
        }
        steps.push(step);
    }
    Ok(steps)
}

fn timer(
    definition: &ProcessDefinition,
    transition: &ProcessTransition,
    vocabulary: &Vocabulary,
) -> Result<Option<super::Moment>, DefinitionError> {
    let action = || transition.action.to_string();
    let timer = match (&transition.timer, transition.trigger) {
        (None, Trigger::Manual | Trigger::System) => return Ok(None),
        (Some(timer), Trigger::Timer) if definition.settings.contains_key(&timer.after) => timer,
        _ => return Err(DefinitionError::Timer(action())),
    };
    if let Some(state) = transition.to.iter().find(|to| transition.from.contains(to)) {
        return Err(DefinitionError::TimerWithoutExit { action: action(), state: state.clone() });
    }
    let Some(since) = &timer.since else { return Ok(None) };
    let found = vocabulary.moments.iter().find(|(name, _)| name == since).map(|(_, moment)| *moment);
    found.map(Some).ok_or_else(|| DefinitionError::NoSuchMoment { action: action(), moment: since.clone() })
}
