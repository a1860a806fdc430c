// Package history records what clients of a cluster see while it suffers, and judges
// whether one order of all calls explains it: linearizability, checked by porcupine.
//
// A [Recorder] has clients at every member, each with one call under way. [Recorder.Check]
// judges each key by itself, and the revisions of all keys together. [Agree] compares the
// members afterwards.
//
// A call whose reply never came may have taken place at any later time, or not at all.
package history
