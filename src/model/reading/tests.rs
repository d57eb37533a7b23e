use serde::Deserialize;

use super::*;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only the refusals are looked at")]
struct Ship {
    name: String,
    #[serde(default)]
    berths: Vec<Berth>,
    kind: Option<Kind>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[expect(dead_code, reason = "only the refusals are looked at")]
struct Berth {
    port_number: u16,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Kind {
    Barge,
    Ferry,
}

fn refused(text: &str) -> String {
    let value = parse(text).map_err(|refusal| refusal.to_string());
    match value.map(read::<Ship>) {
        Ok(read) => read.unwrap_err().located_in(text).to_string(),
        Err(syntax) => syntax,
    }
}

#[test]
fn a_misspelt_member_is_named_with_its_place_and_the_nearest_word() {
    let text =
        "{\n  \"name\": \"Ada\",\n  \"berths\": [\n    {\"portNumber\": 1},\n    {\"portNumbr\": 2}\n  ]\n}";
    assert_eq!(
        refused(text),
        "line 5, column 6: berths[1].portNumbr: unknown member `portNumbr`; did you mean `portNumber`?"
    );
}

#[test]
fn a_wrong_type_and_a_wrong_value_point_at_the_value() {
    assert_eq!(
        refused("{\"name\": \"Ada\",\n \"berths\": [{\"portNumber\": \"80\"}]}"),
        "line 2, column 28: berths[0].portNumber: invalid type: string \"80\", expected u16"
    );
    assert_eq!(
        refused("{\"name\": \"Ada\", \"kind\": \"FERY\"}"),
        "line 1, column 25: kind: `FERY` is not one of BARGE, FERRY; did you mean `FERRY`?"
    );
}

#[test]
fn a_missing_member_points_at_the_object_that_lacks_it() {
    assert_eq!(refused("{\"berths\": []}"), "line 1, column 1: member `name` is missing");
}

#[test]
fn text_that_is_no_json_is_refused_where_it_stops_being_json() {
    assert_eq!(refused("{\"name\": \"Ada\",\n}"), "line 2, column 1: trailing comma");
}

#[test]
fn a_member_that_is_there_twice_is_refused_at_its_second_place() {
    assert_eq!(
        refused("{\"name\": \"Ada\",\n \"name\": \"Eve\"}"),
        "line 2, column 7: member `name` is there twice"
    );
}

#[test]
fn numbers_lists_and_texts_are_read_as_they_are() {
    let text = r#"{"a":[1,-2,1.5,18446744073709551615,"x\u00e9",true,null],"b":{}}"#;
    let plain: serde_json::Value = serde_json::from_str(text).unwrap();
    assert_eq!(parse(text), Ok(plain));
}

#[test]
fn null_counts_as_absent() {
    assert!(read::<Ship>(serde_json::json!({"name": "Ada", "kind": null, "berths": null})).is_ok());
}

#[test]
fn a_text_nested_too_deep_is_refused_instead_of_filling_the_stack() {
    let deep = "[".repeat(100_000);
    assert!(parse(&deep).unwrap_err().message.contains("recursion limit"));
}

#[test]
fn a_place_is_found_behind_escapes_and_among_repeated_members() {
    let text = "{\"a\": \"}\\\"{\", \"b\": [1, {\"c\": [2, 3]}], \"b\": [1, {\"c\": [2, true]}]}";
    let path = MemberPath::default().member("b").element(1).member("c").element(1);
    let place = locate::find(text, &path, false);
    assert_eq!(&text[place.column - 1..place.column + 3], "true");
    assert!(place.column > 40);
}
