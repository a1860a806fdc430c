use http::Request;

use super::*;

#[test]
fn queries_are_decoded() {
    let parts = |uri: &str| Request::get(uri).body(()).unwrap().into_parts().0;
    let request = parts("/readyz?exclude=a%20b&verbose&exclude=c+d&excluded=no&exclude=%zz");
    assert_eq!(query_values(&request, "exclude"), ["a b", "c d", "%zz"]);
    assert_eq!(query_values(&request, "verbose"), [""]);
    assert!(query_values(&parts("/readyz"), "verbose").is_empty());
}

#[test]
fn host_names_lose_their_port() {
    for (host, name) in [("h:1", "h"), ("h", "h"), ("[::1]:2379", "::1"), ("[::1]", "[::1]"), ("", "")] {
        assert_eq!(host_name(host), name);
    }
}
