//! Tests by the rows of the contract that they prove.

/// A test and its rows.
#[derive(Clone, Debug)]
pub struct Case {
    /// Path of the test.
    pub name: &'static str,
    /// Which table.
    pub table: &'static str,
    /// Keys of [`crate::table::Row`].
    pub rows: &'static [&'static str],
}

/// A test that shows a fault of the product. It has to fail; once it passes, it must leave the list.
#[derive(Clone, Copy, Debug)]
pub struct KnownGap {
    /// Path of the test, as in [`Case::name`].
    pub test: &'static str,
    /// What is wrong.
    pub what: &'static str,
}

/// Rows without a test.
#[derive(Clone, Copy, Debug)]
pub struct Gap {
    /// Which table.
    pub table: &'static str,
    /// Whether rows like these can be tested from outside at all.
    pub kind: GapKind,
    /// Why there is no test.
    pub reason: &'static str,
    /// Keys of [`crate::table::Row`].
    pub rows: &'static [&'static str],
}

/// What kind of gap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapKind {
    /// Does not apply, or cannot be brought about or seen from outside.
    OutOfReach,
    /// Applies; that part of the product is not there yet.
    LaterPart,
    /// Applies, and has no test yet.
    Untested,
}

/// Runs a test, the other way round when it shows a known gap.
///
/// # Panics
/// When the test fails, or shows no gap any more.
pub fn run(name: &str, known: &[KnownGap], test: fn()) {
    let Some(gap) = known.iter().find(|gap| gap.test == name) else { return test() };
    let result = std::panic::catch_unwind(test);
    assert!(result.is_err(), "{name} passes: take it off the list of known gaps ({})", gap.what);
    println!("known gap: {}", gap.what);
}

/// Defines tests and the rows that they prove: `cases! { known gaps; test => "table" ["row", ..]; }`. Each names a
/// function of the module; its path is `module::tests::test`.
#[macro_export]
macro_rules! cases {
    ($known:ident; $($name:ident => $table:literal [$($row:literal),* $(,)?];)*) => {
        pub(crate) const CASES: &[$crate::suite::Case] = &[$(
            $crate::suite::Case {
                name: concat!(module_path!(), "::", stringify!($name)),
                table: $table,
                rows: &[$($row),*],
            },
        )*];

        #[cfg(test)]
        mod tests {
            $(
                #[test]
                fn $name() {
                    let name = concat!(module_path!(), "::", stringify!($name));
                    $crate::suite::run(&name.replace("::tests::", "::"), super::$known, super::$name);
                }
            )*
        }
    };
}
