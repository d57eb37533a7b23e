//! Random histories for tests, which whoever sees one fail can have again.

use std::{
    collections::hash_map::RandomState,
    fmt::Debug,
    hash::{BuildHasher as _, Hasher as _},
};

use proptest::{
    strategy::Strategy,
    test_runner::{Config, RngAlgorithm, TestError, TestRng, TestRunner},
};

/// The variable that names a seed.
const SEED: &str = "HYTHE_SEED";

/// Tries so many random values. Where one fails, the shortest that still does is printed, and the seed that leads there.
pub(super) fn tries<Values: Strategy>(cases: u32, values: Values, test: impl Fn(Values::Value))
where
    Values::Value: Debug,
{
    let asked = std::env::var(SEED).ok().and_then(|text| text.parse().ok());
    let seed: u64 = asked.unwrap_or_else(|| RandomState::new().build_hasher().finish());
    if let Err(why) = tries_from(seed, cases, values, test) {
        panic!("{why}");
    }
}

fn tries_from<Values: Strategy>(
    seed: u64,
    cases: u32,
    values: Values,
    test: impl Fn(Values::Value),
) -> Result<(), String>
where
    Values::Value: Debug,
{
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let long: Vec<u8> = seed.to_le_bytes().repeat(4);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &long));
    let tried = runner.run(&values, |value| {
        test(value);
        Ok(())
    });
    tried.map_err(|error| match error {
        TestError::Fail(why, shortest) => {
            format!("{why}\nthe shortest that fails: {shortest:#?}\n{SEED}={seed} leads here again")
        }
        TestError::Abort(why) => format!("{why}\n{SEED}={seed} leads here again"),
    })
}

#[test]
fn a_failure_is_told_at_its_shortest_with_the_seed_that_leads_there_again() {
    let fails = |seed| {
        let run = |value: u32| assert!(value < 1000, "it is {value}");
        tries_from(seed, 10_000, 0..1_000_000_u32, run).unwrap_err()
    };
    let told = fails(7);
    assert!(told.contains("the shortest that fails: 1000\n"), "{told}");
    assert!(told.ends_with("HYTHE_SEED=7 leads here again"), "{told}");
    assert_eq!(told, fails(7), "equal seeds try equal values");
}
