//! A simulated host with a virtual clock: processes that exit when their script says so, or when they are asked or
//! killed. Beside the view it keeps its own, simpler account of what ran, and holds every action against it.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;
use crate::{
    model::{ids::ContainerName, task_definition::RestartPolicy, tests::golden},
    plan::{health::Check, random::tries},
};

/// How a container's process behaves.
#[derive(Clone, Debug)]
struct Script {
    /// It cannot be started.
    unstartable: bool,
    /// It exits by itself after so many seconds.
    exits: Option<(u64, Exit)>,
    /// It exits so many seconds after it is asked; never when none.
    heeds: Option<u64>,
    /// Its probes take so many seconds.
    probe_takes: u64,
    /// Its probes pass from this many seconds after its start.
    passes_after: u64,
}

const STEADY: Script =
    Script { unstartable: false, exits: None, heeds: Some(0), probe_takes: 0, passes_after: 0 };

/// What the host itself knows of a container.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "an account of four things that did or did not happen")]
struct Account {
    ever_ran: bool,
    running: bool,
    over: bool,
    exit: Option<Exit>,
    healthy: bool,
    started: Moment,
    exits_at: Option<(Moment, Exit)>,
    probe: Option<(Moment, bool)>,
}

struct Sim {
    view: TaskView,
    scripts: Vec<Script>,
    accounts: Vec<Account>,
    now: Moment,
    order: Option<(Moment, StopRequest)>,
    finished: bool,
    trace: String,
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn named(name: &str, essential: bool) -> ContainerView {
    ContainerView::new(ContainerName::parse(name).unwrap(), essential, seconds(30))
}

fn user_stop() -> StopRequest {
    StopRequest { code: StopCode::UserInitiated, reason: "Task stopped by user".to_owned() }
}

impl Sim {
    fn new(parts: Vec<(ContainerView, Script)>) -> Self {
        let (containers, scripts): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
        let accounts = vec![Account::default(); containers.len()];
        let (now, order) = (Moment(0), None);
        Self {
            view: TaskView::new(containers),
            scripts,
            accounts,
            now,
            order,
            finished: false,
            trace: String::new(),
        }
    }

    fn stop_at(mut self, at: u64) -> Self {
        self.order = Some((Moment(0) + seconds(at), user_stop()));
        self
    }

    /// Runs until the task is over or nothing more would happen before `horizon` seconds.
    fn run(mut self, horizon: u64) -> Self {
        let horizon = Moment(0) + seconds(horizon);
        while !self.finished {
            let wake_at = self.settle();
            let order = self.order.as_ref().map(|(at, _)| *at);
            let happening = self.accounts.iter().flat_map(|account| {
                let exit = account.exits_at.map(|(at, _)| at);
                exit.into_iter().chain(account.probe.map(|(at, _)| at))
            });
            let Some(next) = happening.chain(wake_at).chain(order).min() else { break };
            if self.finished || next > horizon {
                break;
            }
            assert!(next >= self.now, "a plan woke in the past");
            self.now = next;
            self.happen();
        }
        self
    }

    fn settle(&mut self) -> Option<Moment> {
        for _ in 0..1000 {
            let plan = task(&self.view, self.now);
            assert_eq!(plan, task(&self.view.clone(), self.now), "equal views give equal plans");
            if plan.actions.is_empty() || self.finished {
                return plan.wake_at;
            }
            plan.actions.into_iter().for_each(|action| self.act(action));
        }
        panic!("the plan has never enough");
    }

    fn say(&mut self, line: &str) {
        let _ = writeln!(self.trace, "  {:>4} s  {line}", self.now.0 / 1000);
    }

    fn say_of(&mut self, verb: &str, at: usize) {
        let line = format!("{verb} {}", self.view.containers[at].name);
        self.say(&line);
    }

    fn act(&mut self, action: TaskAction) {
        match action {
            TaskAction::Start(at) => self.start(at),
            TaskAction::GiveUp { container, reason, exit } => {
                assert!(self.view.stop().is_none(), "nothing is given up once the task stops");
                let line =
                    format!("give up {} ({}): {reason}", self.view.containers[container].name, exit.code());
                self.say(&line);
                self.accounts[container].over = true;
                self.view.failed(container, reason);
            }
            TaskAction::Ask(at) => self.ask(at),
            TaskAction::Kill(at) => {
                self.say_of("kill", at);
                assert!(self.accounts[at].running);
                self.accounts[at].exits_at = Some((self.now, Exit::Signal(9)));
                self.view.killed(at, self.now);
            }
            TaskAction::Probe(at) => {
                let (account, script) = (&mut self.accounts[at], &self.scripts[at]);
                assert!(account.running && account.probe.is_none(), "one probe at a time");
                let passes = self.now >= account.started + seconds(script.passes_after);
                account.probe = Some((self.now + seconds(script.probe_takes), passes));
                self.view.probing(at, self.now);
            }
            TaskAction::AbortProbe(at) => {
                self.accounts[at].probe.as_mut().unwrap().0 = self.now;
                let verdict = self.view.probe_aborted(at, self.now);
                self.note_health(at, verdict);
            }
            TaskAction::Stop(request) => {
                self.say(&format!("stop: {:?}, {}", request.code, request.reason));
                assert!(self.view.stop_for(request), "the task decides to stop once");
            }
            TaskAction::Finish => {
                self.say("finish");
                assert!(self.accounts.iter().all(|account| !account.running));
                self.finished = true;
            }
        }
    }

    fn start(&mut self, at: usize) {
        assert!(self.view.stop().is_none(), "nothing starts once the task stops");
        let account = &self.accounts[at];
        assert!(!account.running && !account.over, "what has stopped stays stopped");
        if !account.ever_ran {
            for need in self.view.containers[at].needs.clone() {
                assert!(self.is_met(need), "{at} started before {need:?}");
            }
        }
        if self.scripts[at].unstartable {
            self.say_of("cannot start", at);
            self.accounts[at].over = true;
            self.view.failed(at, "CannotStartContainerError: no such file".to_owned());
            return;
        }
        self.say_of("start", at);
        let exits_at = self.scripts[at].exits.map(|(after, exit)| (self.now + seconds(after), exit));
        let account = &mut self.accounts[at];
        (account.ever_ran, account.running, account.healthy) = (true, true, false);
        (account.started, account.exits_at) = (self.now, exits_at);
        self.view.started(at, self.now);
    }

    fn is_met(&self, need: Need) -> bool {
        let other = &self.accounts[need.on];
        match need.condition {
            Condition::Start => other.ever_ran,
            Condition::Complete => other.ever_ran && other.over,
            Condition::Success => other.over && other.exit == Some(Exit::Code(0)),
            Condition::Healthy => other.running && other.healthy,
        }
    }

    fn ask(&mut self, at: usize) {
        self.say_of("ask", at);
        for (other, account) in self.view.containers.iter().zip(&self.accounts) {
            let needs = other.needs.iter().any(|need| need.on == at);
            assert!(!(needs && account.running), "{} is stopped before {}", at, other.name);
        }
        let account = &mut self.accounts[at];
        assert!(account.running);
        if let Some(after) = self.scripts[at].heeds {
            let exit = (self.now + seconds(after), Exit::Signal(15));
            if account.exits_at.is_none_or(|sooner| sooner.0 > exit.0) {
                account.exits_at = Some(exit);
            }
        }
        self.view.asked(at, self.now);
    }

    /// Everything that is due.
    fn happen(&mut self) {
        if self.order.as_ref().is_some_and(|(at, _)| *at <= self.now) {
            let (_, request) = self.order.take().unwrap();
            self.say("somebody orders a stop");
            self.view.stop_for(request);
        }
        for at in 0..self.accounts.len() {
            if let Some((_, passed)) = self.accounts[at].probe.take_if(|(due, _)| *due <= self.now) {
                let verdict = self.view.probed(at, passed, self.now);
                self.note_health(at, verdict);
            }
            if let Some((_, exit)) = self.accounts[at].exits_at.take_if(|(due, _)| *due <= self.now) {
                let again = self.view.exited(at, exit, self.now);
                let name = &self.view.containers[at].name;
                let line =
                    format!("{name} exited with {}{}", exit.code(), if again { ", again" } else { "" });
                self.say(&line);
                let account = &mut self.accounts[at];
                (account.running, account.probe) = (false, None);
                (account.over, account.exit) = (!again, Some(exit));
            }
        }
    }

    fn note_health(&mut self, at: usize, verdict: Option<HealthStatus>) {
        if let Some(verdict) = verdict {
            self.accounts[at].healthy = verdict == HealthStatus::Healthy;
            self.say_of(&format!("{verdict:?}:"), at);
        }
    }
}

/// `name` needs `condition` of the container at `on`.
fn needing(name: &str, essential: bool, on: usize, condition: Condition) -> ContainerView {
    ContainerView { needs: vec![Need { on, condition }], ..named(name, essential) }
}

fn check(interval: u64) -> Check {
    Check { interval: seconds(interval), timeout: seconds(2), retries: 2, start_period: seconds(0) }
}

fn exits(after: u64, code: i32) -> Script {
    Script { exits: Some((after, Exit::Code(code))), ..STEADY }
}

#[expect(clippy::too_many_lines, reason = "a list")]
fn stories() -> Vec<(&'static str, Sim)> {
    let app = || named("app", true);
    let with_check = |container| ContainerView { check: Some(check(5)), ..container };
    let hasty = |container| ContainerView { start_timeout: Some(seconds(20)), ..container };
    let again = |container| {
        let policy =
            RestartPolicy { enabled: true, ignored_exit_codes: vec![7], restart_attempt_period: Some(60) };
        ContainerView { restart: Some(policy), ..container }
    };
    vec![
        ("a web server and a sidecar, stopped by the user", {
            let sidecar = needing("sidecar", false, 0, Condition::Start);
            Sim::new(vec![(app(), STEADY), (sidecar, Script { heeds: Some(3), ..STEADY })]).stop_at(10)
        }),
        ("an essential container exits", {
            Sim::new(vec![
                (app(), exits(5, 0)),
                (named("sidecar", false), Script { heeds: Some(1), ..STEADY }),
            ])
        }),
        ("a container that does not heed its signal is killed", {
            Sim::new(vec![(app(), Script { heeds: None, ..STEADY })]).stop_at(1)
        }),
        ("a migration succeeds before the app starts", {
            Sim::new(vec![
                (named("migrate", false), exits(4, 0)),
                (needing("app", true, 0, Condition::Success), STEADY),
            ])
            .stop_at(9)
        }),
        ("a migration fails", {
            Sim::new(vec![
                (named("migrate", false), exits(4, 3)),
                (needing("app", true, 0, Condition::Success), STEADY),
            ])
        }),
        ("a cache becomes healthy", {
            let cache = with_check(named("cache", true));
            let slow = Script { passes_after: 12, probe_takes: 1, ..STEADY };
            Sim::new(vec![(cache, slow), (needing("app", true, 0, Condition::Healthy), STEADY)]).stop_at(30)
        }),
        ("a cache does not become healthy in time", {
            let cache = hasty(with_check(named("cache", true)));
            let never = Script { passes_after: 999, ..STEADY };
            Sim::new(vec![(cache, never), (needing("app", true, 0, Condition::Healthy), STEADY)])
        }),
        ("an optional container waits in vain and the task goes on", {
            let seed = hasty(named("seed", false));
            let late = needing("late", false, 1, Condition::Complete);
            Sim::new(vec![(app(), STEADY), (seed, STEADY), (late, STEADY)]).stop_at(60)
        }),
        ("the essential container cannot be started", {
            let bad = Script { unstartable: true, ..STEADY };
            Sim::new(vec![(named("sidecar", false), STEADY), (app(), bad)])
        }),
        ("a stop arrives before anything could start", {
            Sim::new(vec![
                (hasty(named("seed", false)), STEADY),
                (needing("app", true, 0, Condition::Complete), STEADY),
            ])
            .stop_at(0)
        }),
        ("a container is started again while its runs are long enough", {
            Sim::new(vec![(again(app()), exits(60, 1)), (named("other", true), exits(150, 0))])
        }),
        ("a container that dies too fast is not started again", Sim::new(vec![(again(app()), exits(59, 1))])),
        ("an ignored exit code is not a reason to start again", Sim::new(vec![(again(app()), exits(90, 7))])),
        ("a chain is stopped from its end", {
            let middle = needing("middle", true, 0, Condition::Start);
            let last = needing("last", true, 1, Condition::Start);
            let slow = |after| Script { heeds: Some(after), ..STEADY };
            Sim::new(vec![(named("first", true), slow(1)), (middle, slow(2)), (last, slow(3))]).stop_at(5)
        }),
    ]
}

#[test]
fn the_stories_of_tasks_are_as_written() {
    let mut text = String::new();
    for (title, sim) in stories() {
        let sim = sim.run(3600);
        assert!(sim.finished, "{title} has no end");
        let _ = writeln!(text, "{title}\n{}", sim.trace);
    }
    golden("src/plan/task/stories.txt", &text);
}

#[test]
fn a_failed_start_says_so_only_before_the_task_was_up() {
    let mut view = TaskView::new(vec![named("app", true)]);
    view.failed(0, "CannotStartContainerError: x".to_owned());
    let stop = |code, reason: &str| vec![TaskAction::Stop(StopRequest { code, reason: reason.to_owned() })];
    let failed = stop(StopCode::TaskFailedToStart, "CannotStartContainerError: x");
    assert_eq!(task(&view, Moment(0)).actions, failed);

    let mut view = TaskView::new(vec![named("app", true)]);
    let policy = RestartPolicy { enabled: true, ignored_exit_codes: vec![], restart_attempt_period: Some(0) };
    view.containers[0].restart = Some(policy);
    view.started(0, Moment(0));
    assert!(view.exited(0, Exit::Code(1), Moment(1)));
    view.failed(0, "CannotStartContainerError: x".to_owned());
    let exited = stop(StopCode::EssentialContainerExited, "Essential container in task exited");
    assert_eq!(task(&view, Moment(2)).actions, exited);
}

#[test]
fn a_health_check_that_is_not_there_can_never_pass() {
    let sim =
        Sim::new(vec![(named("db", true), STEADY), (needing("app", false, 0, Condition::Healthy), STEADY)]);
    assert!(sim.run(1).trace.contains("container db, which has no health check"));
}

fn any_condition() -> impl Strategy<Value = Condition> {
    prop_oneof![
        Just(Condition::Start),
        Just(Condition::Complete),
        Just(Condition::Success),
        Just(Condition::Healthy)
    ]
}

fn any_script() -> impl Strategy<Value = Script> {
    let exit = (0u64..200, prop_oneof![Just(Exit::Code(0)), Just(Exit::Code(1)), Just(Exit::Signal(11))]);
    (
        proptest::bool::weighted(0.1),
        proptest::option::of(exit),
        proptest::option::of(0u64..40),
        0u64..8,
        0u64..60,
    )
        .prop_map(|(unstartable, exits, heeds, probe_takes, passes_after)| Script {
            unstartable,
            exits,
            heeds,
            probe_takes,
            passes_after,
        })
}

fn any_container(at: usize) -> impl Strategy<Value = ContainerView> {
    let needs = proptest::collection::vec((0..at.max(1), any_condition()), 0..=at.min(3));
    let policy = (any::<bool>(), 1u32..100).prop_map(|(enabled, period)| RestartPolicy {
        enabled,
        ignored_exit_codes: vec![1],
        restart_attempt_period: Some(period),
    });
    let check =
        (1u64..20, 1u64..5, 1u32..4, 0u64..30).prop_map(|(interval, timeout, retries, start)| Check {
            interval: seconds(interval),
            timeout: seconds(timeout),
            retries,
            start_period: seconds(start),
        });
    (
        any::<bool>(),
        needs,
        proptest::option::of(0u64..60),
        0u64..40,
        proptest::option::of(policy),
        proptest::option::of(check),
    )
        .prop_map(move |(essential, needs, start_timeout, grace, restart, check)| ContainerView {
            needs: needs.into_iter().map(|(on, condition)| Need { on, condition }).collect(),
            start_timeout: start_timeout.map(seconds),
            grace: seconds(grace),
            restart,
            check,
            ..named(&format!("c{at}"), essential)
        })
}

fn any_task() -> impl Strategy<Value = Vec<(ContainerView, Script)>> {
    (1usize..=6)
        .prop_flat_map(|count| (0..count).map(|at| (any_container(at), any_script())).collect::<Vec<_>>())
}

#[test]
fn a_task_that_is_told_to_stop_ends_in_the_time_that_its_graces_allow() {
    tries(2_000, (any_task(), 0u64..400), |(parts, at)| {
        let graces: u64 = parts.iter().map(|(container, _)| container.grace.as_secs()).sum();
        let sim = Sim::new(parts).stop_at(at).run(at + graces + 1);
        assert!(sim.finished, "{}", sim.trace);
    });
}

#[test]
fn a_task_goes_on_by_itself_until_it_ends_or_waits_for_nothing_but_time() {
    tries(2_000, any_task(), |parts| {
        let sim = Sim::new(parts).run(2000);
        let ended = |container: &ContainerView| matches!(container.phase, Phase::Ended(_));
        let over = sim.view.containers.iter().any(|container| container.essential && ended(container))
            || sim.view.containers.iter().all(ended);
        // What stops by itself has had its graces by then: nothing here lives longer than 200 s a run.
        assert!(!over || sim.view.stop().is_some(), "{}", sim.trace);
    });
}
