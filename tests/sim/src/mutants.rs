//! Old bugs to put back: `types::mutant` has them, when the feature `mutants` is on.

#[cfg(feature = "mutants")]
use types::mutant::{Mutant, choose};

/// Their names; none without the feature.
pub fn mutants() -> Vec<String> {
    #[cfg(feature = "mutants")]
    let names = Mutant::ALL.map(|mutant| format!("{mutant:?}")).to_vec();
    #[cfg(not(feature = "mutants"))]
    let names = Vec::new();
    names
}

/// Takes back what [`choose_mutant`] put back.
pub fn choose_no_mutant() {
    #[cfg(feature = "mutants")]
    choose(None);
}

/// Puts that bug back for the rest of the process; `false` when there is none of that name.
pub fn choose_mutant(name: &str) -> bool {
    #[cfg(feature = "mutants")]
    if let Some(mutant) = Mutant::ALL.into_iter().find(|mutant| format!("{mutant:?}") == name) {
        choose(Some(mutant));
        return true;
    }
    let _ = name;
    false
}
