// Package differential sends the same random requests to upstream's server and
// to the server under test, and compares every reply field by field.
//
// The [generator] draws steps from a seed; what it draws depends only on the seed
// and on the reference's replies, so a seed names one sequence of requests. Each
// [step] runs on both [side]s, and [compareOutcomes] says what differs after the
// normalisation table in normalise.go. Watches are compared in another way: every
// side has a tap, a watch on all keys, and what each watcher must receive is
// computed from the reference's tap (history.go).
//
// Two inputs are left out because upstream's process does not survive them: the
// compaction of a revision in which a key was deleted and put again, and a put
// with ignore_value or ignore_lease beside a delete with range_end "\0" in one
// txn. Undefined alarm actions are left out for the same reason.
package differential
