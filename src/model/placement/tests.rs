use super::*;

fn candidate(instance: &InstanceId) -> Candidate<'_> {
    let attribute = |(name, value): (&str, Option<&str>)| Attribute {
        name: name.to_owned(),
        value: value.map(str::to_owned),
    };
    let attributes = [
        ("ecs.os-type", Some("linux")),
        ("ecs.availability-zone", Some("us-east-1a")),
        ("ecs.instance-type", Some("g2.8xlarge")),
        ("rack", Some("7")),
        ("fast", None),
    ];
    Candidate {
        attributes: attributes.map(attribute).to_vec(),
        instance,
        version: "1.10.0",
        registered_at: Timestamp(1_700_000_000_000),
        running: 3,
        groups: BTreeSet::from(["service:web".to_owned(), "family:job".to_owned()]),
    }
}

fn holds(text: &str) -> bool {
    let instance = InstanceId::from_random([7; 16]);
    let expression = Expression::parse(text).unwrap_or_else(|why| panic!("{text}: {why}"));
    expression.holds(&candidate(&instance))
}

#[test]
fn the_expressions_of_the_manuals_are_understood() {
    for text in [
        "attribute:ecs.os-type == linux",
        "attribute:ecs.os-type equals linux",
        "attribute:ecs.availability-zone in [us-east-1a, us-east-1b]",
        "attribute:ecs.availability-zone in ['us-east-1a','us-east-1b']",
        "attribute:ecs.availability-zone !in [us-east-1c]",
        "attribute:ecs.instance-type =~ g2.* and attribute:ecs.availability-zone != us-east-1d",
        "attribute:ecs.instance-type matches g[0-9].8xlarge",
        "attribute:ecs.instance-type !~ t2.*",
        "attribute:ecs.instance-type =~ g2",
        "(attribute:ecs.instance-type =~ (g2|t[2-4]).*) && !attribute:slow exists",
        "attribute:fast exists",
        "attribute:slow !exists",
        "attribute:slow not_exists",
        "task:group == service:web",
        "not(task:group == database)",
        "!(task:group == database)",
        "runningTasksCount == 3",
        "runningTasksCount >= 3 && runningTasksCount < 10",
        "(runningTasksCount == 1 or agentConnected == true) and registeredAt > 1600000000",
        "agentVersion >= 1.9.2",
        "agentVersion < 1.10.1",
        "attribute:rack > 6",
        "attribute:rack < 10",
        "attribute:slow != yes",
        "ec2InstanceId in ['07070707070707070707070707070707', 'i-wxyz']",
    ] {
        // One of them is a pattern that has to match the whole value.
        assert_eq!(holds(text), text != "attribute:ecs.instance-type =~ g2", "{text}");
    }
}

#[test]
fn and_binds_more_than_or_and_parentheses_more_than_both() {
    let (yes, no) = ("runningTasksCount == 3", "runningTasksCount == 4");
    assert!(holds(&format!("{yes} or {no} and {no}")));
    assert!(!holds(&format!("({yes} or {no}) and {no}")));
    assert!(holds(&format!("not {no} and {yes}")));
    assert!(!holds(&format!("!({no} || {yes})")));
}

#[test]
fn what_is_no_expression_is_refused_with_its_place() {
    for (text, sentence) in [
        ("", "expected what is compared, such as attribute:ecs.os-type, at the end"),
        ("attribute:a", "expected an operator (== != > >= < <= exists !exists in !in =~ !~) at the end"),
        ("attribute:a = b", "expected an operator (== != > >= < <= exists !exists in !in =~ !~) before '='"),
        ("attribute:a ==", "expected a value at the end"),
        ("attribute:a == b c", "expected the end before 'c'"),
        ("attribute:a in b", "expected a list like [a, b] before 'b'"),
        ("attribute:a in [b", "expected a closing bracket at the end"),
        ("(attribute:a exists", "expected a closing parenthesis at the end"),
        ("attribute:a == 'b", "a quote is not closed"),
        (
            "runningTaskCount == 1",
            "'runningTaskCount' is none of agentConnected, agentVersion, attribute:NAME, ec2InstanceId, registeredAt, \
             runningTasksCount, task:group; did you mean `runningTasksCount`?",
        ),
    ] {
        assert_eq!(Expression::parse(text).unwrap_err().to_string(), sentence, "{text}");
    }
    let deep = format!("{}attribute:a exists{}", "(".repeat(400), ")".repeat(400));
    assert_eq!(Expression::parse(&deep).unwrap_err(), BadExpression::TooDeep);
    let pattern = Expression::parse("attribute:a =~ (?<=x)y").unwrap_err();
    assert!(matches!(&pattern, BadExpression::Pattern(..)), "{pattern}");
    let large = Expression::parse("attribute:a =~ ((((x{99}){99}){99}){99})").unwrap_err();
    assert!(matches!(&large, BadExpression::Pattern(..)), "{large}");
}

fn constraint(text: &str) -> PlacementConstraint {
    serde_json::from_str(text).unwrap()
}

#[test]
fn a_rule_is_read_met_and_told() {
    let instance = InstanceId::from_random([7; 16]);
    let candidate = candidate(&instance);
    let member = constraint(r#"{"type": "memberOf", "expression": "attribute:rack == 8"}"#);
    let distinct = constraint(r#"{"type": "distinctInstance"}"#);
    assert_eq!(unmet([&distinct, &member], &candidate, "service:web"), Some(Unmet::DistinctInstance));
    assert_eq!(unmet([&distinct, &member], &candidate, "service:api"), Some(Unmet::MemberOf));
    assert_eq!(unmet([&distinct], &candidate, "service:api"), None);
    assert_eq!(
        Unmet::MemberOf.to_string(),
        "encountered error \"MemberOf placement constraint unsatisfied.\""
    );
}

#[test]
fn a_rule_that_cannot_be_says_why_and_is_met_by_nobody() {
    let instance = InstanceId::from_random([7; 16]);
    let candidate = candidate(&instance);
    for (text, why) in [
        (r#"{"type": "memberOf"}"#, "memberOf needs an expression, such as attribute:ecs.os-type == linux"),
        (r#"{"type": "memberOf", "expression": "x"}"#, "'x' is none of "),
    ] {
        let bad = constraint(text);
        assert!(bad.read().unwrap_err().to_string().starts_with(why), "{text}");
        assert!(!bad.is_met(&candidate, "g"), "{text}");
    }
    let distinct = constraint(r#"{"type": "distinctInstance", "expression": "x"}"#);
    assert_eq!(distinct.read().unwrap_err(), BadConstraint::Expression("x".into()));
    let long = PlacementConstraint { expression: Some("x".repeat(2001)), kind: ConstraintKind::MemberOf };
    assert_eq!(long.read().unwrap_err(), BadConstraint::TooLong(2001));
}

#[test]
fn a_rule_tells_what_it_needs_and_what_there_is() {
    let instance = InstanceId::from_random([7; 16]);
    let candidate = candidate(&instance);
    let member =
        constraint(r#"{"type": "memberOf", "expression": "attribute:rack == 8 and attribute:a exists"}"#);
    assert_eq!(
        member.told(&candidate, "g"),
        (
            "attribute:rack == 8 and attribute:a exists".into(),
            "attribute:a is nothing, attribute:rack is 7".into()
        )
    );
    let distinct = constraint(r#"{"type": "distinctInstance"}"#);
    let told = distinct.told(&candidate, "service:web");
    assert_eq!(told, ("no other task of service:web".into(), "one is here".into()));
}

#[test]
fn only_questions_about_tasks_change_with_them() {
    let about = |text: &str| Expression::parse(text).unwrap().is_about_tasks();
    assert!(about("attribute:a exists or not task:group == x"));
    assert!(about("runningTasksCount < 5"));
    assert!(!about("attribute:a exists and ec2InstanceId == x"));
}
