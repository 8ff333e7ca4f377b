//! A process drawn as text: a Mermaid state diagram of exactly what the engine runs.

use super::Process;

impl Process {
    /// The process as a Mermaid state diagram. What leaves an order in its state is a note beside it, not a loop.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let mut text = String::from("stateDiagram-v2\n");
        for transition in self.definition.transitions.iter().filter(|t| t.from != t.to) {
            let sources = transition.from.iter().map(String::as_str).chain(transition.from.is_empty().then_some("[*]"));
            for from in sources {
                for to in transition.to.iter().filter(|to| *to != from) {
                    text.push_str(&format!("    {from} --> {to}: {}\n", transition.action));
                }
            }
        }
        for state in &self.definition.states {
            let stays: Vec<_> = self
                .definition
                .transitions
                .iter()
                .filter(|t| t.from.contains(&state.name) && t.to.contains(&state.name))
                .map(|t| t.action.as_str())
                .collect();
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
