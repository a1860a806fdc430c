package harness

import "testing"

// Part is a piece of the product that tests may need.
type Part string

// pending says for each part that mainstay does not have yet what brings it; there is
// none. A test that needs one is skipped for mainstay, by name; against upstream it
// runs. Whoever brings a part deletes its line.
var pending = map[Part]string{}

// Pending lists the parts that a server lacks, with what brings them.
func Pending(bin Binary) map[Part]string {
	if !bin.IsMainstay() {
		return nil
	}
	return pending
}

// Needs skips a test for a server that lacks one of the parts, and says which.
func Needs(t testing.TB, bin Binary, parts ...Part) {
	t.Helper()
	for _, part := range parts {
		if brings, missing := Pending(bin)[part]; missing {
			t.Skipf("not yet: %s needs %q, which comes with %s", bin.Label, part, brings)
		}
	}
}
